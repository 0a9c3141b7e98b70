"""`main` runs a command and turns every outcome into an exit status.

0 is success, 2 an error that the user can mend (one line on stderr), 130 Ctrl-C, 141 a closed standard output.
Everything else is a fault of Segwright and ends in a traceback.
"""

import errno
import sys
from collections.abc import Sequence
from typing import Final

from cyclopts import CycloptsError
from cyclopts.exceptions import MissingArgumentError, UnknownOptionError, UnusedCliTokensError

from segwright.cli import data_commands, deployment_commands, importing, model_commands, sagemaker_commands
from segwright.cli.shared import app, with_boolean_values
from segwright.console import results_console, set_up_logging
from segwright.errors import UserError
from segwright.formats.quiet import silence_decoders
from segwright.hyperparameter_help import suggest
from segwright.hyperparameters import Hyperparameters
from segwright.resources import ensure_temporary_folder, keep_freed_memory
from segwright.standard_streams import MESSAGES, OUTPUT, OutputClosedError, finish_streams, prepare_streams
from segwright.wording import printable

COMMANDS: Final = (model_commands, deployment_commands, data_commands, importing, sagemaker_commands)
"""The modules whose import adds commands to the application."""

USER_ERROR: Final = 2
INTERRUPTED: Final = 130
OUTPUT_CLOSED: Final = 141
"""As a shell reports programs that SIGPIPE has ended: 128 and the signal's number."""


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
        return _print_error(_usage_error(error))
    except UserError as error:
        return _print_error(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=MESSAGES)
        return INTERRUPTED
    except OSError as error:
        if error.filename is not None:
            return _print_error(f"{error.filename}: {error.strerror}")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _print_error(f"{error.strerror}: make room on the disk that is written to.")
        raise
    finally:
        finish_streams()
    return 0


def _print_error(message: str) -> int:
    print("error: " + printable(message.replace("\n", " ")), file=MESSAGES)
    return USER_ERROR


def _usage_error(error: CycloptsError) -> str:
    command = " ".join(["segwright", *(error.command_chain or ())])
    if isinstance(error, MissingArgumentError) and error.argument:
        message = f"{error.argument.names[0]} is missing or has no value."
    elif isinstance(error, UnusedCliTokensError):
        message = f"Unexpected argument: {' '.join(error.unused_tokens or ())}."
    else:
        message = str(error)
    if isinstance(error, UnknownOptionError):
        option, _, _ = (error.token.keyword or error.token.value).partition("=")
        flags = [argument.names[0] for argument in error.argument_collection]
        if use := suggest(option, flags, Hyperparameters):
            message = f"{option} is unknown; {use}."
    return f"{message} `{command} --help` shows how it is used."
