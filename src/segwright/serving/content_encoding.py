"""Bodies that a client or a proxy has compressed: which codings are undone, and within which bounds.

Knows the header Content-Encoding and zlib. Inflates piece by piece: a megabyte that would become a gigabyte is refused
as soon as the limit is reached.

Source: RFC 9110, sections 8.4 and 15.5.16; RFC 1950 (zlib), RFC 1951 (deflate), RFC 1952 (gzip).
"""

import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from segwright.formats.file_types import sniff
from segwright.serving.requests import too_many_bytes

_ACCEPTED: Final = "gzip, deflate, identity"
_MOST: Final = 2  # codings, one over the other
_STEP: Final = 1 << 16  # bytes that are inflated at a time
_PIECE: Final = 1 << 20  # bytes that they may become at a time
_MOST_MEMBERS: Final = 1 << 16  # of a gzip file, each of which costs time even if it is empty
_SHOWN: Final = 100  # characters of a header in a message
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_SAME: Final = {"x-gzip": "gzip"}


@dataclass(frozen=True)
class Body:
    """The body of a request as it came, at most `largest` bytes, and the codings that are to be undone, in that order;
    `smaller` says what to do about more bytes.
    """

    data: bytes
    codings: Sequence[str] = ()
    largest: int = 1 << 30
    smaller: str = ""

    def decoded(self) -> bytes:
        """The bytes without their codings. Takes its time: call it in a thread.

        Raises HTTPException 413 where they become `largest` bytes, also between two codings, and 400 for data that are
        damaged, cut off, or followed by others.
        """
        data = self.data
        for coding in self.codings:
            data = self._inflated(data, coding) if data else data
        return data

    def _inflated(self, data: bytes, coding: str) -> bytes:
        view, inflated = memoryview(data), io.BytesIO()
        end = 0

        def keep(piece: bytes) -> None:
            if inflated.tell() + len(piece) >= self.largest:  # the default is what a bomb of a round gigabyte becomes
                inflated.close()  # frees the memory now: the exception remembers this frame for a while
                raise too_many_bytes(f"{self.largest:,} or more", self.largest - 1, self.smaller, "inflated")
            inflated.write(piece)

        try:
            if coding == "gzip":
                for _ in range(_MOST_MEMBERS):  # one file may be made of several
                    end += _inflate(view[end:], _GZIP, keep)
                    if end == len(data):
                        break
            else:
                end = _inflate(view, _ZLIB if _is_zlib(data) else _RAW, keep)
        except zlib.error as error:
            container = sniff(data)
            wrong = f"is a {container} picture as it is" if container else f"is no whole {coding} data"
            raise HTTPException(
                400,
                f"Content-Encoding says {coding}, but the body {wrong}: leave the header out, or compress the body.",
            ) from error
        if end < len(data):
            raise HTTPException(
                400, f"Content-Encoding says {coding}, but the body goes on after its end: send it alone."
            )
        return inflated.getvalue()


def content_codings(request: Request) -> list[str]:
    """The codings of a request's body, in the order in which they are to be undone.

    Raises HTTPException 415, with the header Accept-Encoding, for those that are not known and for more than two.
    """
    header = ", ".join(request.headers.getlist("content-encoding"))
    names = [name.strip().lower() for name in header.split(",")]
    codings = [_SAME.get(name, name) for name in names if name not in ("", "identity")]
    if len(codings) > _MOST or not {"gzip", "deflate"}.issuperset(codings):
        raise HTTPException(
            415,
            f"Content-Encoding is {header[:_SHOWN]}, but only gzip and deflate are undone, {_MOST} at most: send the "
            "bytes of the image as they are, or with gzip.",
            {"Accept-Encoding": _ACCEPTED},
        )
    return codings[::-1]


def _inflate(data: memoryview, window: int, keep: Callable[[bytes], None]) -> int:
    """Inflate one stream, hand on what it becomes, and return its length; zlib.error where it is damaged or cut off."""
    inflater = zlib.decompressobj(window)
    for start in range(0, len(data), _STEP):
        step = data[start : start + _STEP]
        left, piece = bytes(step), b""
        while not inflater.eof and (left or len(piece) == _PIECE):  # a full piece: zlib may hold back more
            piece = inflater.decompress(left, _PIECE)
            keep(piece)
            left = inflater.unconsumed_tail
        if inflater.eof:
            return start + len(step) - len(inflater.unused_data)
    raise zlib.error("the stream is cut off")


def _is_zlib(data: bytes) -> bool:
    """Whether deflate comes in zlib's wrapper, as the RFC has it, or bare, as some clients send it."""
    return len(data) > 1 and data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0
