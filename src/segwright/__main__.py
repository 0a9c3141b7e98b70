"""`segwright`, which `python -m segwright` is as well.

Imports nothing heavy before an entry of the container holds back SIGTERM: the first process of a container loses every
signal that it has no handler for, and to import the command line takes a moment.
"""

import sys

from segwright.stopping import hold_termination


def main() -> int:
    """Run the command line and return the exit status."""
    if sys.argv[1:2] == ["container"]:
        hold_termination()
    from segwright.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
