"""What bytes are that are no picture of the five formats, and the cure: base64, forms, JSON, other file formats, bytes
that a program took for text.

Knows what people send and save by mistake. Needs nothing but the standard library. Refuses to decode any of it: a guess
that goes wrong would be a wrong mask.

Source: RFC 2397 (data URLs), RFC 4648 (base64), RFC 7578 (forms); curl's manual (`-d`); the PNG specification on its
signature.
"""

import base64
import binascii
import codecs
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from segwright.formats.file_signatures import known_file
from segwright.formats.file_types import sniff

_HEAD: Final = 4096  # bytes that are looked at
_SURE: Final = 32  # bytes, of which every picture has a zero among them
_LEAST_TEXT: Final = 64  # characters of base64 or hexadecimal digits that are no word
_FEEDS: Final = 8  # line feeds that are no coincidence
_STARTS: Final = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"II*": "a TIFF picture",
    b"MM*": "a TIFF picture",
    b"BM": "a BMP picture",
    b"RIFF": "a WebP picture",
}
"""What is left of signatures without line ends and zero bytes."""

_SEND: Final = "send the bytes themselves"
_ENDINGS: Final = "jpe?g?|jfif|png|tiff?|bmp|webp|gif|hei[cf]|avif|jp2|jxl|npy|dcm|dng|pdf|zip"
_REPLACEMENT: Final = "\ufffd"


@dataclass(frozen=True)
class Disguise:
    """What some bytes are, to follow "is", and what to do: with a file, and with the body of a request."""

    what: str
    cure: str
    cure_of_body: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cure_of_body", self.cure_of_body or self.cure)


_BASE64: Final = Disguise(
    "base64 text", "decode it and save the bytes", f"{_SEND} (API Gateway: set binary media types)"
)
_DATA_URL: Final = Disguise(
    "a data URL, which is base64 text",
    "decode what follows its comma and save the bytes",
    f"{_SEND} (of a canvas: toBlob() in place of toDataURL())",
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
_NUMBERS: Final = Disguise("a list of numbers as text", "save the bytes themselves", _SEND)
_HEX: Final = Disguise("hexadecimal text", "decode it and save the bytes", _SEND)
_REPR: Final = Disguise("Python's spelling of bytes, b'...'", "write the bytes in mode wb, without str()", _SEND)
_OBJECT: Final = Disguise(
    "the text of an object",
    "save the bytes of the file",
    "send its bytes (fetch: the File, Blob or ArrayBuffer itself; Python: read())",
)
_NAME: Final = Disguise(
    "the name or address of a file",
    "name that file in its place",
    "send the bytes of that file (curl: --data-binary @photo.jpg)",
)
_MESSAGE: Final = Disguise(
    "an HTTP or MIME message with its headers", "save what follows the empty line", f"{_SEND}, without headers"
)
_HTML: Final = Disguise(
    "an HTML page", "a website answered with it: download the picture anew", "send the picture itself"
)
_SVG: Final = Disguise("an SVG drawing, which is not read", "draw it as PNG")
_XML: Final = Disguise("XML text", "download the picture anew", _SEND)
_LFS: Final = Disguise("a pointer of Git LFS", "fetch the file itself with git lfs pull")
_UTF16: Final = Disguise("UTF-16 text", "PowerShell's > makes that of any bytes: save them with -OutFile", _SEND)
_ZEROS: Final = Disguise("nothing but zero bytes", "copy or download it anew")
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
    """What bytes are that no reader of pictures takes, or None where nobody knows.

    Also tells what has happened to bytes with the signature of a picture that cannot be decoded. Looks at the first
    bytes, except for line ends, which have to be missing everywhere.
    """
    if data and not data.strip(b"\0"):
        return _ZEROS
    if found := _lost_line_ends(data):
        return found
    if was_taken_for_text(data):
        return _AS_TEXT
    if sniff(data):
        return None
    head = data[:_HEAD]
    if file := known_file(head):
        return Disguise(*file)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _UTF16
    if container := sniff(head.removeprefix(codecs.BOM_UTF8).lstrip()):
        return Disguise(f"a {container} picture behind blanks or a byte order mark", "leave those out")
    if head.lstrip().startswith(b"--") and re.search(rb"content-(?:disposition|type):", head.lower()):
        return _FORM
    if re.match(rb"HTTP/[12]|(?:MIME-Version|Content-[A-Za-z-]{4,30}):", head):
        return _MESSAGE
    text = _text(head)
    return None if text is None else _recognise_text(text.removeprefix("\ufeff").strip())


def was_taken_for_text(data: bytes) -> bool:
    """Whether a program took bytes of a picture for text and wrote them as UTF-8: what was no text became U+FFFD or
    `?`, or each byte a character.

    A BMP picture may be text by chance, as one of a single colour; then its own size, which it notes, is right.
    """
    if data.startswith((b"?PNG\r\n", b"????")) and b"\0" in data[:32]:
        return True
    text = _text(data[:_HEAD])
    if text is None or (data.startswith(b"BM") and int.from_bytes(data[2:6], "little") == len(data)):
        return False
    if _REPLACEMENT in text:
        return True
    return any(
        restored != data[:_HEAD] and sniff(restored) is not None
        for encoding in ("latin-1", "cp1252")
        for restored in [text.encode(encoding, "replace")]
    )


def has_changed_line_ends(jpeg: bytes) -> bool:
    """Whether a transfer as text has put a carriage return before each line feed of a JPEG, over which decoders pass
    in silence.

    Asks for eight of them in the last scan, which holds as good as random bytes; what is behind the picture is passed
    over, since it may be text.
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
        return Disguise(f"a PNG picture, but its line ends are {fate}", *_CURE_OF_LINE_ENDS)
    if b"\n" in data or b"\r" in data or b"\0" in data:
        return None
    kind = next((name for start, name in _STARTS.items() if data.startswith(start)), None)
    if kind and len(data) >= _SURE and _is_binary(data[:_HEAD]):
        return Disguise(f"{kind}, but its line ends are gone", *_CURE_OF_LINE_ENDS)
    return None


def _text(head: bytes) -> str | None:
    """The characters of UTF-8, of which the last may be cut, or None."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None


def _is_binary(head: bytes) -> bool:
    text = _text(head)
    return text is None or re.search(r"[\x00-\x08\x0e-\x1f]", text) is not None


def _recognise_text(text: str) -> Disguise | None:
    """What some text without blanks around it is."""
    if re.match(r"""["']?(?:bytearray\()?b["'].{0,99}\\x""", text):
        return _REPR
    text = re.sub(r"""^(?:b?["']){1,2}""", "", text).rstrip("\"'")  # a JSON string, str() of base64
    text = text.replace("\\/", "/").replace("\\r", "").replace("\\n", "")  # as JSON spells them
    return next((found for test, found in _TEXTS if test(text)), None)


def _has_base64(text: str) -> bool:
    """Whether some JSON has a known file as base64 in it, or as a data URL."""
    if not _is_json(text):
        return False
    strings = re.findall(r'"(?:data:[^",]{0,80},)?([A-Za-z0-9+/_-]{16,})', text)
    return any(_is_file(_decoded_base64(string)) for string in strings)


def _is_base64(text: str) -> bool:
    """Whether text is base64 of either alphabet, in lines or not: of a known file, or long enough to be no word."""
    characters = re.sub("%..?$", "", urllib.parse.unquote("".join(text.split())))  # the last %xx may be cut
    if not re.fullmatch(r"[A-Za-z0-9+/_-]{16,}={0,2}", characters):
        return False
    return _is_file(_decoded_base64(characters)) or (
        len(characters) >= _LEAST_TEXT and all(re.search(kind, characters) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    )


def _is_hex(text: str) -> bool:
    digits = re.sub(r"[\s:,]|\\x|0x", "", text)
    if not re.fullmatch(r"[0-9A-Fa-f]{16,}", digits):
        return False
    return len(digits) >= _LEAST_TEXT or _is_file(binascii.unhexlify(digits[: len(digits) // 2 * 2]))


def _decoded_base64(characters: str) -> bytes:
    """The bytes of base64 that may be cut anywhere."""
    whole = characters.translate(str.maketrans("-_", "+/")).rstrip("=")
    return base64.b64decode(whole[: len(whole) // 4 * 4])


def _is_file(data: bytes) -> bool:
    return sniff(data) is not None or known_file(data) is not None


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: compiled.match(text) is not None


_is_json: Final = _matches(r"\{\s*[\"'}]|\[\s*[\"'\[{\]\d-]")
_TEXTS: Final[tuple[tuple[Callable[[str], bool], Disguise], ...]] = (
    (_matches(r"version https://git-lfs"), _LFS),
    (_matches(r"data(?::|%3A)[\w/+.%-]{0,80}[;,%]|[\w/+.-]{0,80};?base64,"), _DATA_URL),
    (_matches(r"ÿØÿ|\x89PNG|\\u00ff\\u00d8|\\u0089PNG|\\ufffd"), _AS_TEXT),
    (_matches(r"\[object \w+\]|undefined$|null$|\[Buffer|<Buffer|<_io\.|<[^<>]{1,200} at 0x[0-9a-f]+>$"), _OBJECT),
    (_matches(r"<!doctype html|<html|<head|<body"), _HTML),
    (_matches(r"(?:<[?!][^>]{0,500}>\s{0,99}){0,9}<svg"), _SVG),
    (_matches(r"<\?xml|<\w+[\s>]"), _XML),
    (_matches(r"[\[(]?\s{0,9}\d{1,3}(?:\s{0,9},\s{0,9}|\s{1,9})\d{1,3}(?:[\s,]{1,9}\d{1,3}){2}"), _NUMBERS),
    (_has_base64, _JSON_BASE64),
    (_is_json, _JSON),
    (_is_hex, _HEX),
    (_is_base64, _BASE64),
    (_matches(r"[\w.\[\]-]{1,64}=[ -~]*$|(?:[^%\s]{0,64}%[0-9a-f]{2}){2}[!-~]*$"), _FORM),
    (_matches(rf"@?(?:blob:)?(?:[a-z][a-z0-9+.-]{{1,20}}:/{{1,3}}\S+|[^\n]{{1,500}}\.(?:{_ENDINGS}))$"), _NAME),
)
"""How to tell each kind of text, the surest first."""
