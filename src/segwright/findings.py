"""Findings: what a check has to report on data, one each, with the cure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from segwright.errors import DataError
from segwright.wording import printable

Severity = Literal["error", "warning", "note"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""The gravest first. A training refuses errors and logs warnings when it starts."""

_EXAMPLES: Final = 6


@dataclass(frozen=True)
class Finding:
    """One thing that a rule has found. All texts are printable: file names are escaped here."""

    rule: str
    """A short name of the rule that stays the same, such as `class_range`."""
    severity: Severity
    channel: str
    """`train`, `validation`, or `labels` for what concerns both."""
    what: str
    """What is wrong, and where: a sentence."""
    cure: str = ""
    """What to do, where `what` does not say so: a sentence."""
    files: tuple[str, ...] = ()
    """Some of the files that are meant."""
    count: int = 0
    """How many files are meant, by default as many as `files` names; 0 where it is not about files."""
    label_map: str = ""
    """The label map that would cure it, ready as JSON."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", self.count or len(self.files))
        for name in ("what", "cure"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        object.__setattr__(self, "files", tuple(map(printable, self.files[:_EXAMPLES])))

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.channel}: {self.what}", self.cure, self.label_map)))

    def to_json(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


class FindingError(DataError):
    """A finding that ends a training, an evaluation or an inspection."""

    def __init__(self, finding: Finding, message: str = "") -> None:
        super().__init__(message or str(finding), file=finding.files[0] if finding.files else "")
        self.finding = finding

    def __reduce__(self) -> tuple[type["FindingError"], tuple[Finding, str]]:
        return type(self), (self.finding, str(self))  # errors are sent to the other processes of a training


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in the order of their severity."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
