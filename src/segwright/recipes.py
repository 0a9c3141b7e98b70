"""The two recipes: named sets of defaults for hyperparameters, and there is no third.

`sagemaker` is the original, as far as it is known: the defaults that stand beside the hyperparameters themselves
(SageMaker's contract, section 3) and the arithmetic of GluonCV. `best` is what evidence says: the values below in
place of those. This module knows names and values. It refuses to know what they mean and whether they are allowed.
"""

from collections.abc import Mapping
from typing import Any, Final

_BEST: Final[Mapping[str, Any]] = {
    "epochs": 30,
    "mini_batch_size": 8,
    "optimizer": "adamw",
    "learning_rate": 0.0004,
    "weight_decay": 0.01,
    "warmup": 0.05,
    "update_rule": "mean",
    "last_batch": "keep",
    "padding": "ignore",
    "validation_mini_batch_size": 1,
}
_BELONG_TO_THE_OPTIMIZER: Final = ("learning_rate", "weight_decay")


def recipe_values(recipe: object, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe puts in place of the original's defaults, beside the hyperparameters that are `given`.

    Rate and decay of `best` are AdamW's: whoever names another optimizer gets the original's for it. A recipe that
    does not exist changes nothing; whoever checks the values refuses it.
    """
    if recipe != "best":
        return {}
    other = given.get("optimizer", _BEST["optimizer"]) != _BEST["optimizer"]
    return {name: value for name, value in _BEST.items() if not (other and name in _BELONG_TO_THE_OPTIMIZER)}
