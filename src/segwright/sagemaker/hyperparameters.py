"""The hyperparameters of a job, as SageMaker spells them.

Source: SageMaker's contract, sections 3 and 7.1.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from segwright.hyperparameters import UNDERSCORED, Hyperparameters

logger = logging.getLogger(__name__)

_RECIPE: Final = "sagemaker"


def read_hyperparameters(strings: Mapping[str, str]) -> Hyperparameters:
    """The settings of a job, whose recipe is `sagemaker` by default. Raises HyperparameterError as `from_strings`."""
    return Hyperparameters.from_strings({"recipe": _RECIPE, **strings})


def log_hyperparameters(strings: Mapping[str, str], settings: Hyperparameters) -> None:
    """Log defaults, what the job gave, and what follows from both, in the lines of the original."""
    logger.info(f"Reading default configuration: {to_strings(Hyperparameters(recipe=_RECIPE).model_dump())}")
    logger.info(f"Merging with provided configuration: {dict(strings)}")
    missing = [name for name in ("num_classes", "num_training_samples") if getattr(settings, name) is None]
    if missing:
        logger.warning(f"Not given, though the original requires it, and worked out: {' and '.join(missing)}.")
    logger.info(f"Final configuration: {to_strings(settings.model_dump())}")


def to_strings(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as SageMaker writes them: all as strings, some names with an underscore, and nothing that is empty."""
    return {
        f"_{name}" if name in UNDERSCORED else name: to_string(value)
        for name, value in values.items()
        if value is not None and value != ()
    }


def to_string(value: object) -> str:
    """A value as SageMaker writes it; a list as `10, 20`."""
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
