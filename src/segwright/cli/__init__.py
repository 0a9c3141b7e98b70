"""The command line: `segwright COMMAND`, or `main` with its arguments."""

from segwright.cli.app import main

__all__ = ["main"]
