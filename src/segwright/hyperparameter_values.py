"""Types of hyperparameters that are neither a number nor a word, and how their texts are read."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

SMALLEST_SCALE: Final = 0.25
LARGEST_SCALE: Final = 4


def _parse_epochs(value: object) -> object:
    """The numbers of ``"10, 20"`` in ascending order; values that are no string pass through, sorted.

    Raises ValueError where a part between commas is not a whole number.
    """
    if isinstance(value, str):
        value = [int(part) for part in value.split(",")]
    return tuple(sorted(set(value))) if isinstance(value, list | tuple) else value


def parse_whole_number(value: object) -> object:
    """A string of digits as a number, for choices among numbers, which pydantic does not convert."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def parse_weights(value: object) -> object:
    """The numbers of ``"1, 5, 2"``; words and values that are no string pass through.

    Raises ValueError where a part between commas is no number.
    """
    if isinstance(value, str) and value not in ("none", "auto"):
        return tuple(float(part) for part in value.split(","))
    return value


InferenceScale = Annotated[float, Field(ge=SMALLEST_SCALE, le=LARGEST_SCALE)]
"""Size of what the network sees over that of the image."""

EpochList = Annotated[tuple[Annotated[int, Field(gt=0)], ...], BeforeValidator(_parse_epochs)]
"""Epochs in ascending order; SageMaker's strings are comma lists with blanks, ``"10, 20"``."""

Loss = Literal["cross-entropy", "ohem", "focal", "dice", "lovasz", "cross-entropy+dice", "cross-entropy+lovasz"]

WeightList = tuple[Annotated[float, Field(ge=1e-6, le=1e6)], ...]
"""One weight for each class."""


def _parse_range(value: object) -> object:
    """``"0.5, 2.0"`` as two numbers; values that are no string pass through. Raises ValueError for other strings."""
    if isinstance(value, str):
        value = tuple(float(part) for part in value.split(","))
    if isinstance(value, list | tuple) and len(value) == 2 and not 0 < value[0] <= value[1] <= 16:
        raise ValueError("the first must be above 0 and not above the second, which is at most 16")
    return value


ScaleRange = Annotated[tuple[float, float], BeforeValidator(_parse_range)]
"""The smallest and the largest factor."""
