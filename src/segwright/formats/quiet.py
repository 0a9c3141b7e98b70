"""Silences what image decoders print and log of odd files, for processes that Segwright owns.

What cannot be read becomes an error anyway. Entry points and workers call it; an import of the package changes nothing.
"""

import ctypes
import logging
import warnings
from contextlib import suppress


def silence_decoders() -> None:
    """Silence Pillow, tifffile, and libtiff, which decodes compressed TIFFs for Pillow, in this process."""
    from PIL import _imaging

    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
    with suppress(AttributeError, OSError):  # where libtiff is built in, it has no handler to be set
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
