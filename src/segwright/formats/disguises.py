"""What bytes are that are no image, and the cure; nothing of it is decoded: a wrong guess would be a wrong mask.

Source: RFC 2397 (data URLs), RFC 4648 (base64), RFC 7578 (forms); curl's manual (`-d`); PNG specification (signature).
"""

import base64
import codecs
import re
import urllib.parse
from collections.abc import Callable
from typing import Final, NamedTuple

from segwright.formats.file_types import sniff, unread_type

_HEAD: Final = 4096  # bytes that are looked at
_SURE: Final = 32  # bytes, of which every image has a zero among them
_LEAST_TEXT: Final = 64  # characters of base64 that are no word
_FEEDS: Final = 8  # line feeds that are no coincidence
_STARTS: Final = {
    b"\xff\xd8\xff": "JPEG",
    b"II*": "TIFF",
    b"MM*": "TIFF",
    b"BM": "BMP",
    b"RIFF": "WebP",
}  # which hold no line ends


class Disguise(NamedTuple):
    """What some bytes are, to follow "is", and what to do: with a file, and with the body of a request."""

    what: str
    cure: str
    cure_of_body: str


_BASE64: Final = Disguise(
    "base64 text", "decode it and save the bytes", "send the bytes themselves (API Gateway: set binary media types)"
)
_DATA_URL: Final = Disguise(
    "a data URL, which is base64 text",
    "decode what follows its comma and save the bytes",
    "send the bytes themselves (of a canvas: toBlob() in place of toDataURL())",
)
_FORM: Final = Disguise(
    "a form",
    "save the file that it holds",
    "send the file alone (curl: --data-binary @photo.jpg; requests: data=; fetch: the file as the body)",
)
_JSON: Final = Disguise("JSON text", "save the image itself", "send the bytes of one image, without JSON around them")
_JSON_BASE64: Final = Disguise(
    "JSON text with base64 in it",
    "decode the base64 and save the bytes",
    "send the bytes of one image (API Gateway: set binary media types)",
)
_HTML: Final = Disguise("an HTML page", "a website answered with it: download the image anew", "send the image itself")
_GZIP: Final = Disguise("gzip data", "unpack it", "unpack it, or send it with the header Content-Encoding: gzip")
_LFS: Final = Disguise("a pointer of Git LFS", *["fetch the file itself with git lfs pull"] * 2)
_ZEROS: Final = Disguise("nothing but zero bytes", *["copy or download it anew"] * 2)
_AS_TEXT: Final = Disguise(
    "binary data that a program took for text",
    "read and write it as binary data",
    "read the file as binary data (open mode rb; in JavaScript an ArrayBuffer or Blob, no string) and send that",
)
_CURE_OF_LINE_ENDS: Final = (
    "copy it anew as binary data",
    "curl --data-binary @photo.jpg sends a file as it is, curl -d does not",
)


def recognise(data: bytes) -> Disguise | None:
    """What bytes are that no decoder of images takes, by their first ones; None for unknown ones."""
    if data and not data.strip(b"\0"):
        return _ZEROS
    if found := _lost_line_ends(data):
        return found
    if was_taken_for_text(data):
        return _AS_TEXT
    if sniff(data):
        return None
    head = data[:_HEAD]
    if head.startswith(b"\x1f\x8b\x08"):
        return _GZIP
    if unread := unread_type(head):
        return Disguise(*unread, unread[1])
    if head.lstrip().startswith(b"--") and re.search(rb"content-(?:disposition|type):", head.lower()):
        return _FORM
    if (text := _text(head)) is None:
        return None
    text = text.removeprefix("\ufeff").strip()
    text = re.sub(r"""^(?:b?["']){1,2}""", "", text).rstrip("\"'")  # a JSON string, str() of base64
    text = text.replace("\\/", "/").replace("\\r", "").replace("\\n", "")  # as JSON spells them
    return next((found for test, found in _TEXTS if test(text)), None)


def was_taken_for_text(data: bytes) -> bool:
    """Whether a program took the bytes of an image for text: what was no text became U+FFFD or `?`, or each byte a
    character. A BMP image of one colour may be text by chance; then the size that its header states is right.
    """
    if data.startswith((b"?PNG\r\n", b"????")) and b"\0" in data[:32]:
        return True
    text = _text(data[:_HEAD])
    if text is None or (data.startswith(b"BM") and int.from_bytes(data[2:6], "little") == len(data)):
        return False
    if "\ufffd" in text:
        return True
    restored = [text.encode(encoding, "replace") for encoding in ("latin-1", "cp1252")]
    return any(original != data[:_HEAD] and sniff(original) is not None for original in restored)


def has_changed_line_ends(jpeg: bytes) -> bool:
    """Whether a transfer as text has put a carriage return before each line feed of a JPEG, which decoders do not
    report. Asks for eight in the last scan, which is as good as random bytes; what follows the image may be text.
    """
    first = jpeg.find(b"\n", jpeg.find(b"\xff\xda"))
    if jpeg[max(first - 1, 0) : first] != b"\r":
        return False
    scan, end = jpeg.rfind(b"\xff\xda"), jpeg.rfind(b"\xff\xd9")
    feeds = jpeg.count(b"\n", scan, end)
    return feeds >= _FEEDS and feeds == jpeg.count(b"\r\n", scan, end)


def _lost_line_ends(data: bytes) -> Disguise | None:
    """`curl -d @file` leaves out line feeds, carriage returns and zero bytes; transfers as text change the first two,
    which a PNG's signature is made to show.
    """
    if data.startswith(b"\x89PNG") and sniff(data) is None:
        fate = "changed" if b"\n" in data[:8] else "gone"
        return Disguise(f"a PNG image, but its line ends are {fate}", *_CURE_OF_LINE_ENDS)
    if len(data) < _SURE or b"\n" in data or b"\r" in data or b"\0" in data:
        return None
    kind = next((name for start, name in _STARTS.items() if data.startswith(start)), None)
    text = _text(data[:_HEAD])
    if kind and (text is None or re.search(r"[\x00-\x08\x0e-\x1f]", text)):
        return Disguise(f"a {kind} image, but its line ends are gone", *_CURE_OF_LINE_ENDS)
    return None


def _text(head: bytes) -> str | None:
    """The characters of UTF-8, of which the last may be cut, or None."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None


def _has_base64(text: str) -> bool:
    """Whether JSON holds a known file as base64, or as a data URL."""
    strings = re.findall(r'"(?:data:[^",]{0,80},)?([A-Za-z0-9+/_-]{16,})', text)
    return _is_json(text) and any(map(_is_encoded_file, strings))


def _is_base64(text: str) -> bool:
    """Whether text is base64 of either alphabet, in lines or not: of a known file, or long enough to be no word."""
    characters = re.sub("%..?$", "", urllib.parse.unquote("".join(text.split())))  # the last %xx may be cut
    if not re.fullmatch(r"[A-Za-z0-9+/_-]{16,}={0,2}", characters):
        return False
    mixed = all(re.search(kind, characters) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    return _is_encoded_file(characters) or (mixed and len(characters) >= _LEAST_TEXT)


def _is_encoded_file(characters: str) -> bool:
    """Whether base64, cut anywhere, is that of a known file."""
    whole = characters.translate(str.maketrans("-_", "+/")).rstrip("=")
    data = base64.b64decode(whole[: len(whole) // 4 * 4])
    return sniff(data) is not None or unread_type(data) is not None


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: compiled.match(text) is not None


_is_json: Final = _matches(r"\{\s*[\"'}]|\[\s*[\"'\[{\]\d-]")
_TEXTS: Final[tuple[tuple[Callable[[str], bool], Disguise], ...]] = (
    (_matches(r"version https://git-lfs"), _LFS),
    (_matches(r"data(?::|%3A)[\w/+.%-]{0,80}[;,%]|[\w/+.-]{0,80};?base64,"), _DATA_URL),
    (_matches(r"ÿØÿ|\x89PNG|\\u00ff\\u00d8|\\u0089PNG|\\ufffd"), _AS_TEXT),
    (_matches(r"<!doctype html|<html|<head|<body"), _HTML),
    (_has_base64, _JSON_BASE64),
    (_is_json, _JSON),
    (_is_base64, _BASE64),
    (_matches(r"[\w.\[\]-]{1,64}=[ -~]*$|(?:[^%\s]{0,64}%[0-9a-f]{2}){2}[!-~]*$"), _FORM),
)
"""The kinds of text, the surest first."""
