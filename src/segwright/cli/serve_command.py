"""The command that serves a model over HTTP: its arguments and its help.

Knows that its libraries are an extra. Nothing is served here.
"""

import os
from typing import Annotated

from cyclopts import Parameter, validators

from segwright.cli.shared import Bundle, Device, PrecisionDtype, app
from segwright.console import PACKAGE_LOGGER
from segwright.errors import UserError


@app.command(sort_key=3, usage="Usage: segwright serve BUNDLE [OPTIONS]")
def serve(
    bundle: Bundle,
    /,
    *,
    port: Annotated[
        int, Parameter(validator=validators.Number(gte=0, lte=65535), help="The port; 0 takes any free one.")
    ] = 8080,
    host: Annotated[
        str, Parameter(help="The address to listen at; 0.0.0.0 lets other machines in as well.")
    ] = "127.0.0.1",
    allow_origin: Annotated[
        list[str] | None,
        Parameter(
            metavar="ORIGIN",
            negative=(),
            help="Let pages of this origin, such as https://app.example, ask from browsers; * means all. May be given "
            "several times.",
        ),
    ] = None,
    device: Device = None,
    precision_dtype: PrecisionDtype = "float32",
) -> None:
    """Answer HTTP requests with masks, exactly as an endpoint of SageMaker does: POST an image to /invocations."""
    try:
        from segwright.serving import ServingSettings
        from segwright.serving import serve as run
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise UserError(f"serving needs the package {error.name}: pip install 'segwright[serve]'") from error

    settings = ServingSettings.from_environment(
        os.environ,
        host=host,
        port=port,
        allow_origin=allow_origin or (),
        device=device,
        precision_dtype=precision_dtype,
    )
    PACKAGE_LOGGER.setLevel(settings.log_level)
    run(bundle, settings)
