"""The hyperparameters as flags of the command line, made from their one definition.

The flags carry plain strings, so that the command line and a SageMaker job share one parser and one wording
of errors. This module knows no hyperparameter by name.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo

from segwright.hyperparameter_help import allowed, plain_type, sections
from segwright.hyperparameters import Hyperparameters

BOOLEAN_WORDS: Final = frozenset(["true", "false", "yes", "no", "on", "off", "1", "0"])
_VALUES: Final = {bool: "BOOL", int: "INT", float: "FLOAT", str: "NAME", Path: "FILE"}


def _flag(heading: Group, name: str, field: FieldInfo) -> Any:
    """The type of one flag: an optional string with its help, `meaning (values; default)`."""
    best, original = (getattr(Hyperparameters(recipe=recipe), name) for recipe in ("best", "sagemaker"))
    default = "" if best is None else f"; default {best}"
    default += f", in recipe sagemaker {original}" if name != "recipe" and original != best else ""
    value = _VALUES.get(plain_type(field), "VALUE")
    words = f"{field.description} ({allowed(field)}{default})"
    return Annotated[str | None, Parameter(help=words, group=heading, show_default=False, metavar=value)]


def _all_flags() -> list[tuple[str, Any, Any]]:
    return [
        (name, _flag(heading, name, field), dataclasses.field(default=None))
        for position, (title, fields) in enumerate(sections(Hyperparameters).items())
        for heading in [Group(f"Hyperparameters: {title}", sort_key=10 + position)]
        for name, field in fields.items()
    ]


if TYPE_CHECKING:
    HyperparameterFlags = Any
else:
    # The module's name must be ours: cyclopts takes a class of the standard library for a plain value.
    HyperparameterFlags = Parameter(name="*")(
        dataclasses.make_dataclass(
            "HyperparameterFlags", _all_flags(), kw_only=True, frozen=True, namespace={"__module__": __name__}
        )
    )


def read_flags(flags: HyperparameterFlags | None) -> Hyperparameters:
    """Check what was given as flags; raises HyperparameterError as `Hyperparameters.from_strings` does."""
    given = vars(flags) if flags else {}
    return Hyperparameters.from_strings({name: text for name, text in given.items() if text is not None})


def with_boolean_values(tokens: Sequence[str]) -> list[str]:
    """Give each boolean hyperparameter among command-line tokens its value: `--syncbn` is `--syncbn=True`,
    `--no-syncbn` is `--syncbn=False`, and `--syncbn false` is `--syncbn=false`.
    """
    names = [name for name, field in Hyperparameters.model_fields.items() if plain_type(field) is bool]
    yes = {"--" + name.replace("_", "-") for name in names}
    no = {"--no-" + name.replace("_", "-") for name in names}
    given: list[str] = []
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == "--":
            return [*given, token, *rest]
        if token in no:
            token = f"--{token.removeprefix('--no-')}=False"
        elif token in yes:
            token += "=" + (rest.pop(0) if rest and rest[0].lower() in BOOLEAN_WORDS else "True")
        given.append(token)
    return given
