"""The command `segwright`, also as `python -m segwright`.

The entries of the container block SIGTERM before the heavy imports: process 1 ignores it until a handler is installed.
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
