"""The command line: `main` runs a command and turns whatever happens into an exit status.

0 is success, 2 something the user can mend (one line on stderr), 130 Ctrl-C, 141 that nobody reads standard output any
more. Anything else is a fault of Segwright and ends in a traceback; a file that the system refuses to read or write is
none. This module knows none of the commands.
"""

import errno
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError
from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

from segwright.cli import commands, container_commands, data_commands, importing, model_commands, serve_command
from segwright.cli.flags import with_boolean_values
from segwright.cli.shared import app
from segwright.console import results_console, set_up_logging
from segwright.errors import UserError
from segwright.formats.quiet import silence_decoders
from segwright.resources import ensure_temporary_folder, keep_freed_memory
from segwright.standard_streams import MESSAGES, OUTPUT, OutputClosedError, finish_streams, prepare_streams
from segwright.wording import plain

COMMANDS = (commands, data_commands, importing, model_commands, serve_command, container_commands)
"""The modules whose import tells the application its commands."""

USER_ERROR = 2
INTERRUPTED = 130
OUTPUT_CLOSED = 141
"""As a shell says of programs that SIGPIPE has ended: 128 and the signal's number."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    `arguments` are what follows the program's name; None takes them from the process.
    """
    prepare_streams()
    set_up_logging()
    keep_freed_memory()
    silence_decoders()
    tokens = with_boolean_values(sys.argv[1:] if arguments is None else arguments)
    try:
        ensure_temporary_folder()
        app(tokens, exit_on_error=False, print_error=False, console=results_console())
        OUTPUT.flush()
    except OutputClosedError:
        return OUTPUT_CLOSED
    except CycloptsError as error:
        return _complain(_usage_sentence(error))
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=MESSAGES)
        return INTERRUPTED
    except OSError as error:
        if error.filename is not None:
            return _complain(f"{error.filename}: {error.strerror}")
        if error.errno in _NO_SPACE:
            return _complain(f"{error.strerror}: make room on the disk that is written to.")
        raise
    finally:
        finish_streams()
    return 0


def _complain(sentence: str) -> int:
    print("error: " + plain(sentence.replace("\n", " ")), file=MESSAGES)
    return USER_ERROR


def _usage_sentence(error: CycloptsError) -> str:
    command = " ".join(["segwright", *(error.command_chain or ())])
    if isinstance(error, MissingArgumentError) and error.argument:
        sentence = f"{error.argument.names[0]} is missing or has no value."
    elif isinstance(error, UnusedCliTokensError):
        sentence = f"Nothing more was expected after the other arguments: {' '.join(error.unused_tokens or ())}."
    else:
        sentence = str(error)
    return f"{sentence} `{command} --help` shows how it is used."
