"""The exceptions that Segwright raises on purpose.

::

    Exception
    └── UserError                  the caller can mend it: exit status 2, one sentence, no traceback
        ├── HyperparameterError    a name or value of a hyperparameter
        ├── LabelError             a label map or a list of class names
        ├── DataError              an image, a mask, or how they are paired
        │   ├── TooLargeError      an image with more pixels than are read
        │   ├── FractionError      a mask with numbers between whole ones
        │   └── FindingError       what the data check has found (`segwright.findings`)
        ├── BundleError            a trained model on disk
        ├── ResumeError            a checkpoint of another training
        └── OutputExistsError      an output that would overwrite something

Any other exception is a fault of Segwright and keeps its traceback. This module knows nothing else of the package.
"""


class UserError(Exception):
    """Something the user can mend; the message says what is wrong, where, what is allowed and what to do.

    The keywords hold the parts that callers look at: `file`, the name of a file or object; `name`, that of a
    hyperparameter, channel or option; `value`, what it was given.
    """

    def __init__(self, message: str, *, file: str = "", name: str = "", value: object = None) -> None:
        super().__init__(message)
        self.file, self.name, self.value = file, name, value


class HyperparameterError(UserError):
    """A hyperparameter that does not exist, or a value that it does not take."""


class LabelError(UserError):
    """A label map or a list of class names that cannot be used."""


class DataError(UserError):
    """An image or mask that cannot be read, or a set of pairs that cannot be trained on."""


class TooLargeError(DataError):
    """An image with more pixels, or with more numbers in all its bands, than are read."""


class FractionError(DataError):
    """A mask with fractions as pixel values: it was scaled or smoothed, as may be others that do not show it."""


class BundleError(UserError):
    """A model directory that is damaged, foreign, or does not fit the task."""


class ResumeError(UserError):
    """A checkpoint that a training cannot be resumed from."""


class OutputExistsError(UserError):
    """An output path that exists already and was not to be overwritten."""
