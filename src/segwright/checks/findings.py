"""Where rules put what they find: a training raises the first error, `inspect` collects everything."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from segwright.errors import UserError
from segwright.findings import Finding, FindingError

logger = logging.getLogger(__name__)


class Findings:
    """The findings of a data check, in order; without `collect` they are logged, and the first error is raised."""

    def __init__(self, *, collect: bool = False) -> None:
        self.found: list[Finding] = []
        self._collect = collect

    def add(self, *rules: Iterable[Finding]) -> bool:
        """Take what rules yield. Returns whether none of it is an error; raises DataError for one unless collecting."""
        clean = True
        for finding in chain(*rules):
            self.found.append(finding)
            clean = clean and finding.severity != "error"
            if self._collect:
                continue
            if not clean:
                raise FindingError(finding)
            logger.log(logging.WARNING if finding.severity == "warning" else logging.INFO, "%s", finding)
        return clean

    @contextmanager
    def taking_errors(self, rule: str, channel: str) -> Iterator[None]:
        """Make a finding of a UserError that ends the block."""
        try:
            yield
        except UserError as error:
            self.add([Finding(rule, "error", channel, str(error).removeprefix(f"{channel}: "))])
