"""Standard output and error where they are closed, full, without a reader, or cannot show all characters.

Results go to `OUTPUT`, whose failures end the command. Logs go to `LOG` (standard output) or `MESSAGES` (standard
error), where a line that cannot be written is lost and the work goes on.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO, cast

from segwright.errors import UserError

_GONE: Final = (errno.EPIPE, errno.EIO, errno.EBADF)  # the last reader, the terminal, the descriptor


class OutputClosedError(Exception):
    """Standard output has no reader any more, as behind `| head`."""


class _Output:
    """The current `sys.stdout` or `sys.stderr`. Raises OutputClosedError without a reader, UserError on a full disk."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "rich_proxied_file":  # by which rich would bypass this class
            raise AttributeError(attribute)
        return getattr(self._stream, attribute)

    @property
    def _stream(self) -> TextIO | None:
        stream = getattr(sys, self._name)
        return cast(TextIO | None, getattr(stream, "rich_proxied_file", stream))

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write text."""
        self._call("write", text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._call("flush")

    def _call(self, method: str, *arguments: str) -> None:
        try:
            if self._stream is not None:
                getattr(self._stream, method)(*arguments)
        except OSError as error:
            if error.errno in _GONE:
                _redirect_to_null(self._stream)
            self._fail(error)
        except ValueError:  # Python's own object is closed
            self._fail(OSError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def _fail(self, error: OSError) -> None:
        if error.errno in _GONE:
            raise OutputClosedError from error
        raise UserError(f"standard output cannot be written: {error.strerror}") from error


class _Log(_Output):
    """A stream whose failures lose a line; the first failure of standard output is reported on standard error."""

    _reported = False

    def _fail(self, error: OSError) -> None:
        if self._name == "stdout" and not self._reported:
            self._reported = True
            MESSAGES.write(f"warning: standard output cannot be written, its lines are lost: {error.strerror}\n")


OUTPUT: Final = cast(TextIO, _Output("stdout"))
LOG: Final = cast(TextIO, _Log("stdout"))
MESSAGES: Final = cast(TextIO, _Log("stderr"))


def prepare_streams() -> None:
    """Open the standard streams that are closed, whose numbers other files would get, and write `?` for characters that
    they cannot show. Error handlers in PYTHONIOENCODING hold, except strict.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        stream = getattr(sys, name)
        chosen = ":" in os.environ.get("PYTHONIOENCODING", "") and stream.errors != "strict"
        if isinstance(stream, io.TextIOWrapper) and not chosen:
            stream.reconfigure(errors="replace")


@contextmanager
def output_may_fail() -> Iterator[None]:
    """Lose results that are shown while work goes on where they cannot be written."""
    with suppress(OutputClosedError, UserError):
        yield


def finish_streams() -> None:
    """Flush standard output and error, so that Python reports nothing at its exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            _redirect_to_null(stream)


def _redirect_to_null(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError, AttributeError):
        number, null = cast(TextIO, stream).fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
