"""Hyperparameters of a job: read, told as the original tells them, and written beside the model.

Knows SageMaker's spelling. Refuses to know what they mean.

Source: SageMaker's contract, sections 3 and 7.1.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from segwright.hyperparameters import UNDERSCORED, Hyperparameters
from segwright.sagemaker.job import as_text

logger = logging.getLogger(__name__)

_RECIPE: Final = "sagemaker"
_REQUIRED: Final = ("num_classes", "num_training_samples")


def read_settings(strings: Mapping[str, str]) -> Hyperparameters:
    """The settings of a job, which follows the recipe `sagemaker` unless it names another.

    Raises HyperparameterError with every unknown name and every bad value in one message.
    """
    return Hyperparameters.from_strings({"recipe": _RECIPE, **strings})


def tell_settings(strings: Mapping[str, str], settings: Hyperparameters) -> None:
    """Log defaults, what the job gave, and what follows from both."""
    logger.info(f"Reading default configuration: {as_strings(Hyperparameters(recipe=_RECIPE).model_dump())}")
    logger.info(f"Merging with provided configuration: {dict(strings)}")
    missing = [name for name in _REQUIRED if getattr(settings, name) is None]
    if missing:
        logger.warning(
            f"{' and '.join(missing)}, which the original requires, are not given: the data have to show it."
        )
    logger.info(f"Final configuration: {as_strings(settings.model_dump())}")


def as_strings(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as SageMaker writes them: all as strings, some names with an underscore, and nothing that is empty."""
    return {
        f"_{name}" if name in UNDERSCORED else name: as_text(value)
        for name, value in values.items()
        if value is not None and value != ()
    }
