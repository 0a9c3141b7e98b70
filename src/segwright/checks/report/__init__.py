"""A colleague's look: what `segwright inspect` says of the data of a training, before the training.

`survey` reads both channels and collects all that is wrong and all that is remarkable, `samples` chooses and draws
pictures, `charts` draws numbers, `page` makes one HTML page of it all, and `command` is what the command calls.
"""

from segwright.checks.report.command import inspect

__all__ = ["inspect"]
