"""What decoders raise on damaged files, as DataError."""

from collections.abc import Iterator
from contextlib import contextmanager

from segwright.errors import DataError


@contextmanager
def damage_as_data_error(what: str) -> Iterator[None]:
    """Raise DataError, `what` and the decoder's own words, for whatever the block raises: on strangers' bytes that is
    not limited to OSError. MemoryError says nothing about the file and stays.
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{what}: {error}.") from error
