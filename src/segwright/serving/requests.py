"""Request bodies: content types (a hint: the bytes decide), size limits, compression, and decoding to pixels.

Source: SageMaker's contract, sections 5.1, 5.3 and 6.2; RFC 9110, sections 8.4 and 15.5.16 (Content-Encoding).
"""

import asyncio
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request

from segwright.errors import DataError, TooLargeError
from segwright.formats.disguises import recognise
from segwright.formats.file_types import MAX_PIXELS, sniff
from segwright.formats.images import EncodedImage
from segwright.formats.pixels import PixelFormat, Pixels
from segwright.labels import IGNORE
from segwright.serving.connections import transfer_time

_CONTENT_TYPES: Final = "image/jpeg, image/png, image/*, application/x-image, application/octet-stream"
_UNSPECIFIC: Final = (
    *("", "application/x-image", "application/octet-stream"),
    "binary/octet-stream",  # S3's default, which batch transform passes on
    "application/x-www-form-urlencoded",  # the default of `curl --data-binary`
)
_HINTS: Final = {
    "multipart/": "A form is not read: send the file alone (curl: --data-binary, not -F; requests: data=, not files=).",
    "application/json": "JSON is not read: send the bytes of the image (API Gateway: set binary media types).",
    "text/": "Text is not read, base64 neither: send the bytes of the image (API Gateway: set binary media types).",
}
"""What to do, by the beginning of a content type."""

_MAX_CODINGS: Final = 2  # one over the other
_STEP: Final = 1 << 16  # bytes that are inflated at a time
_PIECE: Final = 1 << 20  # bytes that they may become at a time
_MAX_MEMBERS: Final = 1 << 16  # of a gzip file, each of which costs time even if it is empty
_SHOWN: Final = 100  # characters of a header in a message
_NAME: Final = "The image"


def check_content_type(request: Request) -> None:
    """Raise HTTPException 415 for a content type that is clearly no image; none is fine."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _UNSPECIFIC and not kind.startswith("image/"):
        hint = next((hint for start, hint in _HINTS.items() if kind.startswith(start)), "")
        sentence = f"The content type {kind[:_SHOWN]} is no image: send one as {_CONTENT_TYPES}, or without type."
        raise HTTPException(415, f"{sentence} {hint}".rstrip())


def content_codings(request: Request) -> list[str]:
    """The codings of a request's body, in the order in which they are undone. Raises HTTPException 415 for others."""
    header = ", ".join(request.headers.getlist("content-encoding"))
    codings = [name.strip().lower().removeprefix("x-") for name in header.split(",")]
    codings = [name for name in codings if name not in ("", "identity")]
    if len(codings) > _MAX_CODINGS or not {"gzip", "deflate"}.issuperset(codings):
        raise HTTPException(
            415,
            f"Content-Encoding is {header[:_SHOWN]}, but only gzip and deflate are undone, {_MAX_CODINGS} at most: "
            "send the bytes of the image as they are, or with gzip.",
            {"Accept-Encoding": "gzip, deflate, identity"},
        )
    return codings[::-1]


@dataclass(frozen=True)
class Body:
    """The body of a request, at most `limit` bytes, and the codings to undo; `cure` says what to do about more."""

    data: bytes
    codings: Sequence[str] = ()
    limit: int = 1 << 30
    cure: str = ""

    def decoded(self) -> bytes:
        """The bytes without their codings; slow, so call it in a thread. Raises HTTPException 413 where they become
        `limit` bytes, also between two codings, and 400 for data that are damaged, truncated, or followed by others.
        """
        data = self.data
        for coding in self.codings if data else ():
            try:
                data = self._inflated(data, coding)
            except zlib.error as error:
                wrong = f"a {kind} image as it is" if (kind := sniff(data)) else f"no whole {coding} data"
                cure = "leave the header out, or compress the body."
                raise HTTPException(400, f"Content-Encoding says {coding}, but the body is {wrong}: {cure}") from error
        return data

    def _inflated(self, data: bytes, coding: str) -> bytes:
        """Inflates piece by piece, so that no more than the limit is in memory."""
        source, inflated, members = io.BytesIO(data), io.BytesIO(), 0
        # Deflate comes in zlib's wrapper, as the RFC has it, or bare, as some clients send it.
        wrapped = len(data) > 1 and data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0
        window = zlib.MAX_WBITS + 16 if coding == "gzip" else zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
        decoder = zlib.decompressobj(window)
        step, full = source.read(_STEP), False
        while step or full:
            if decoder.eof:  # a gzip file may have several members
                members += 1
                if coding != "gzip" or members == _MAX_MEMBERS:
                    raise HTTPException(
                        400, f"Content-Encoding says {coding}, but the body goes on after its end: send it alone."
                    )
                decoder = zlib.decompressobj(window)
            piece = decoder.decompress(step, _PIECE)
            if inflated.tell() + len(piece) >= self.limit:  # the default is what a bomb of a round gigabyte becomes
                inflated.close()  # frees the memory now: the exception holds this frame
                raise _too_many_bytes(f"{self.limit:,} or more bytes when inflated", self.limit - 1, self.cure)
            inflated.write(piece)
            full = len(piece) == _PIECE and not decoder.eof  # zlib may hold back more
            step = decoder.unused_data or decoder.unconsumed_tail or source.read(_STEP)
        if not decoder.eof:
            raise zlib.error("the stream is cut off")
        return inflated.getvalue()


async def read_body(request: Request, limit: int, deadline: float, cure: str) -> Body:
    """Read a request's body. Raises HTTPException 415 as `content_codings`, 413 for more than `limit` bytes, 408 at the
    deadline, which is on the event loop's clock, or where it comes slower than `transfer_time`, and ClientDisconnect.
    """
    codings = content_codings(request)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_many_bytes(f"{int(announced):,} bytes", limit, cure)
    chunks, size = [], 0
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(min(start + transfer_time(0), deadline)) as timeout:
            async for chunk in request.stream():
                size += len(chunk)
                timeout.reschedule(min(start + transfer_time(size), deadline))
                if size > limit:
                    raise _too_many_bytes(f"more than {limit:,} bytes", limit, cure)
                chunks.append(chunk)
    except TimeoutError:
        raise HTTPException(
            408, f"Only {size:,} bytes came before time was up: send the request again.", {"Connection": "close"}
        ) from None
    return Body(b"".join(chunks), codings, limit, cure)


def _too_many_bytes(found: str, limit: int, cure: str) -> HTTPException:
    return HTTPException(413, f"The body has {found}, but {limit:,} are read at most: {cure}")


def decode(data: bytes, pixel_format: PixelFormat, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The pixels of an image, [H, W, bands]. Raises HTTPException 400 for empty or damaged bytes and for an image of
    another format, 413 for more than `max_pixels`.
    """
    wanted = f"{_file_types(pixel_format)} image of {pixel_format}"
    if not data:
        raise HTTPException(400, f"The body is empty: send the bytes of one {wanted}.")
    try:
        return EncodedImage(data, _NAME, max_pixels).decode(pixel_format)
    except TooLargeError as error:
        raise HTTPException(413, str(error)) from error
    except DataError as error:
        if found := recognise(data):
            raise HTTPException(400, f"The body is {found.what}: {found.cure_of_body}.") from error
        wrong = str(error).partition(". ")[0].rstrip(".")  # what follows is for training
        raise HTTPException(400, f"{wrong}; send one whole {wanted}.") from error


def ignore_mask(data: bytes, pixel_format: PixelFormat, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """255 everywhere, uint8 [H, W], for an image that cannot be decoded: the size of its header, or 1 x 1."""
    try:
        size = EncodedImage(data, _NAME, max_pixels).size(pixel_format.exif_transposed)
    except DataError:
        size = (1, 1)
    return np.full(size, IGNORE, np.uint8)


def _file_types(pixel_format: PixelFormat) -> str:
    if pixel_format.bands > 4 or pixel_format.dtype == np.float32:
        return "TIFF"
    if pixel_format.bit_depth > 8:
        return "PNG or TIFF"
    return "PNG, TIFF or WebP" if pixel_format.bands == 4 else "JPEG, PNG, TIFF, BMP or WebP"
