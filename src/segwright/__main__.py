"""`segwright`, which `python -m segwright` is as well.

Imports nothing heavy before a training job holds back SIGTERM: the first process of a container loses every signal that
it has no handler for, and to import the command line takes a moment.
"""

import sys

from segwright.interruption import hold_termination

_JOB = ["container", "train"]


def main() -> int:
    """Run the command line and return the exit status."""
    if sys.argv[1:3] == _JOB:
        hold_termination()
    from segwright.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
