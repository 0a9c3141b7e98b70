"""From a request to an image: what may be sent, how much of it, and what is said where it cannot be used.

Knows content types, limits and the sentences that clients get. A content type is a hint: the bytes say what a
picture is. Refuses to know models and answers.

Source: SageMaker's contract, sections 5.1, 5.3 and 6.2.
"""

import asyncio
from typing import Final

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request

from segwright.errors import DataError, TooLargeError
from segwright.formats.disguises import recognise
from segwright.formats.images import EncodedImage
from segwright.formats.pixels import PixelFormat, Pixels
from segwright.labels import IGNORE

_ALLOWED: Final = ("image/jpeg", "image/png", "image/*", "application/x-image", "application/octet-stream")
_UNSPECIFIC: Final = frozenset(
    (
        "",
        "application/x-image",
        "application/octet-stream",
        "binary/octet-stream",  # S3's default, which batch transform hands on
        "application/x-www-form-urlencoded",  # what `curl --data-binary` says unless told otherwise
    )
)
_HINTS: Final = {
    "multipart/": "A form is not read: send the file alone (curl: --data-binary, not -F; requests: data=, not files=).",
    "application/json": "JSON is not read: send the bytes of the image (API Gateway: set binary media types).",
    "text/": "Text is not read, base64 neither: send the bytes of the image (API Gateway: set binary media types).",
}
"""What to do, by the beginning of a content type."""

_NAME: Final = "The image"


def check_content_type(request: Request) -> None:
    """Raise HTTPException 415 for a content type that is clearly no picture; a missing one is fine."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _UNSPECIFIC and not kind.startswith("image/"):
        hint = next((hint for start, hint in _HINTS.items() if kind.startswith(start)), "")
        raise HTTPException(
            415,
            f"The content type {kind[:100]} is no picture: send one image as {', '.join(_ALLOWED)}, or without type. "
            f"{hint}".rstrip(),
        )


async def read_body(request: Request, largest: int, deadline: float, smaller: str) -> bytes:
    """The bytes of a request. Reads no further than `largest` bytes, and until `deadline` on the event loop's clock;
    `smaller` says what to do about more.

    Raises HTTPException 413 for more, 408 where time is up, and starlette's ClientDisconnect when the client hangs up
    meanwhile.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > largest:
        raise too_many_bytes(f"{int(announced):,}", largest, smaller)
    chunks, size = [], 0
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in request.stream():
                size += len(chunk)
                if size > largest:
                    raise too_many_bytes(f"more than {largest:,}", largest, smaller)
                chunks.append(chunk)
    except TimeoutError:
        raise HTTPException(
            408, f"Only {size:,} bytes came before time was up: send the request again.", {"Connection": "close"}
        ) from None
    return b"".join(chunks)


def decode(body: bytes, form: PixelFormat) -> Pixels:
    """The pixels of a body, [H, W, bands] in the form that a model takes.

    Raises HTTPException 400 for an empty or damaged body and for a picture of another form, 413 for one that has more
    pixels, or numbers in its bands, than are read.
    """
    if not body:
        raise HTTPException(400, f"The body is empty: send the bytes of one {_files(form)} image of {form}.")
    try:
        return EncodedImage(body, _NAME).decode(form)
    except TooLargeError as error:
        raise HTTPException(413, str(error)) from error
    except DataError as error:
        if found := recognise(body):
            raise HTTPException(400, f"The body is {found.what}: {found.cure_of_body}.") from error
        wrong = str(error).partition(". ")[0].rstrip(".")  # what follows is for people who train
        raise HTTPException(400, f"{wrong}; send one whole {_files(form)} image of {form}.") from error


def unknown_mask(body: bytes, form: PixelFormat) -> NDArray[np.uint8]:
    """A mask of 255 everywhere, uint8 [H, W], for a body that cannot be decoded: of the size that its header tells, or
    else 1 x 1.
    """
    try:
        size = EncodedImage(body, _NAME).size(form.exif_transposed)
    except DataError:
        size = (1, 1)
    return np.full(size, IGNORE, np.uint8)


def _files(form: PixelFormat) -> str:
    """The kinds of files that hold pictures of a form."""
    if form.bands > 4 or form.dtype == np.float32:
        return "TIFF"
    if form.bit_depth > 8:
        return "PNG or TIFF"
    return "PNG, TIFF or WebP" if form.bands == 4 else "JPEG, PNG, TIFF, BMP or WebP"


def too_many_bytes(found: str, largest: int, smaller: str, when: str = "") -> HTTPException:
    """The refusal of a body of too many bytes; `smaller` says what to do."""
    return HTTPException(
        413, f"The body has {found} bytes{when and f' when {when}'}, but {largest:,} are read at most: {smaller}"
    )
