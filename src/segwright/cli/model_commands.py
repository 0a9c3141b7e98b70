"""The commands about models of other makers: their arguments, their help, and the one function that each calls.

As in `commands`, each imports what it calls when it runs, and nothing is computed here.
"""

import logging
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from segwright.cli.shared import Overwrite, app

logger = logging.getLogger(__name__)


@app.command(sort_key=8, usage="Usage: segwright import-model MODEL_TAR_GZ_OR_PARAMS BUNDLE [OPTIONS]")
def import_model(
    source: Annotated[
        Path,
        Parameter(
            name="MODEL_TAR_GZ_OR_PARAMS",
            help="The model.tar.gz of a training, the folder that it was unpacked to, or a .params file.",
        ),
    ],
    bundle: Annotated[Path, Parameter(name="BUNDLE", help="The folder that receives the model.")],
    /,
    *,
    overwrite: Overwrite = False,
) -> None:
    """Turn a model of SageMaker's original algorithm (MXNet) into one that all other commands take."""
    from segwright.mxnet import import_model as run

    run(source, bundle, overwrite=overwrite)
    logger.info(f"the model: {bundle}")
