"""`segwright`, which `python -m segwright` is as well.

Imports nothing heavy before SIGTERM is held back for the entries of the container: its first process would lose the
signal until a handler is installed.
"""

import sys

from segwright.stopping import hold_termination


def main() -> int:
    """Run the command line and return the exit status."""
    if sys.argv[1:2] in (["container"], ["sagemaker"]):
        hold_termination()
    from segwright.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
