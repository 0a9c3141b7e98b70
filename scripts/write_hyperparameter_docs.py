"""Write docs/hyperparameters.md and docs/hyperparameters.schema.json from the definition in the code.

Usage: python scripts/write_hyperparameter_docs.py [DIRECTORY, by default docs]
"""

import json
import sys
from pathlib import Path

from segwright.hyperparameter_words import sections, table
from segwright.hyperparameters import Hyperparameters

INTRODUCTION = """\
<!-- Written by scripts/write_hyperparameter_docs.py from src/segwright/hyperparameters.py: edit there. -->

# Hyperparameters

All that a training can be told, with the names, values and defaults of SageMaker's built-in semantic
segmentation algorithm and a few of our own. On the command line underscores become hyphens
(`--learning-rate 0.01`); in Python they are the fields of `segwright.Hyperparameters`. The same definition as
a JSON schema is in [hyperparameters.schema.json](hyperparameters.schema.json).

SageMaker passes every value as a string. Booleans are read in any case (`True`, `true`, `1`, `yes`), and one
pair of double quotes round a value is dropped. SageMaker writes `workers`, `aux_loss`, `aux_weight`,
`augmentation_type` and `logging_frequency` with a leading underscore; both spellings will do. Other names
that begin with `_` or `sagemaker_` belong to the machinery of SageMaker or MXNet (`_kvstore`,
`_num_kv_servers`, `_hybrid`, `_tuning_objective_metric`, ...) and are ignored, with a line in the log. Any
other unknown name is an error. Some ranges are wider than SageMaker's: `momentum` and `weight_decay` may be 0.
"""


def page() -> str:
    """The Markdown page: the introduction, then a table for each section of the model."""
    tables = [f"## {title}\n\n{table(fields)}\n" for title, fields in sections(Hyperparameters).items()]
    return "\n".join([INTRODUCTION, *tables])


def schema() -> str:
    """The JSON schema as pydantic gives it, indented."""
    return json.dumps(Hyperparameters.model_json_schema(), indent=2) + "\n"


def main() -> None:
    """Write both files into the directory named on the command line."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (directory / "hyperparameters.md").write_text(page(), encoding="utf-8")
    (directory / "hyperparameters.schema.json").write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
