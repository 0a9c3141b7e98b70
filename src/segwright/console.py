"""Progress bars and tables on a terminal, plain lines elsewhere: results to stdout, messages and progress to stderr."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from segwright.standard_streams import MESSAGES, OUTPUT
from segwright.wording import duration, printable

Advance = Callable[[int, str], None]
"""Called with the number of units done since the last call and a short text to show beside the bar."""

PACKAGE_LOGGER = logging.getLogger("segwright")
_messages = Console(file=MESSAGES)


def set_up_logging(handler: logging.Handler | None = None) -> None:
    """Log the package's records; without `handler` to stderr, coloured on a terminal, one plain line each elsewhere."""
    if handler is None:
        handler = logging.StreamHandler(MESSAGES)
        if _messages.is_terminal:
            handler = RichHandler(console=_messages, show_path=False, show_time=False, show_level=False, markup=False)
        handler.setFormatter(_WarningPrefix())
    PACKAGE_LOGGER.handlers[:] = [handler]
    PACKAGE_LOGGER.setLevel(logging.INFO)
    PACKAGE_LOGGER.propagate = False


def print_to_copy(line: str) -> None:
    """Print a line to stderr whole, unless messages are switched off: rich would break it at the terminal's width."""
    if PACKAGE_LOGGER.isEnabledFor(logging.INFO):
        print(line, file=MESSAGES)


class _WarningPrefix(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        text = printable(super().formatMessage(record))
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


def results_console(width: int | None = None) -> Console:
    """Rich on standard output."""
    return Console(file=OUTPUT, width=width)


@contextmanager
def progress(what: str, total: int, every: int = 0) -> Iterator[Advance]:
    """Show the progress of a job of `total` units: a bar on a terminal, a plain line every `every` calls (0: none)
    elsewhere, and nothing where the package's messages are switched off.
    """
    if not PACKAGE_LOGGER.isEnabledFor(logging.INFO):
        yield lambda _done, _text: None
    elif _messages.is_terminal:
        text, remaining = TextColumn("{task.fields[text]}"), TimeRemainingColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), text, remaining)
        with Progress(*columns, console=_messages, transient=True) as bar:
            task = bar.add_task(what, total=total, text="")
            yield lambda done, text: bar.update(task, advance=done, text=text)
    else:
        start, done, calls = time.monotonic(), 0, 0

        def advance(units: int, text: str) -> None:
            nonlocal done, calls
            done, calls = done + units, calls + 1
            if every and calls % every == 0:
                left = (time.monotonic() - start) / max(done, 1) * (total - done)
                PACKAGE_LOGGER.info(f"{what}: {done}/{total} {text}, {duration(left)} left")

        yield advance


@contextmanager
def share_bar(what: str, share: float) -> Iterator[Callable[[float, str], None] | None]:
    """A bar on a terminal, to be called with the `share` that is done, 0 to 1, and a short text; None elsewhere."""
    if not (_messages.is_terminal and PACKAGE_LOGGER.isEnabledFor(logging.INFO)):
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=_messages, transient=True) as bar:
        task = bar.add_task(what, total=1.0, completed=share, text="")  # type: ignore[arg-type]
        yield lambda share, text: bar.update(task, completed=share, text=text)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout; the first column is text, the others are figures."""
    output = results_console()
    grid = Table(title=escape(printable(title)), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, name in enumerate(columns):
        grid.add_column(name, justify="right" if position else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(escape(printable(cell)) for cell in row))
    # A pipe has no width of its own: class names are not folded because of that.
    (output if output.is_terminal else results_console(width=200)).print(grid)
