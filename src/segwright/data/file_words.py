"""The words by which people and tools tell images from masks in the names of files and folders."""

import re
import unicodedata
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate
from typing import Final

_IMAGE: Final = re.compile(
    r"images?|imgs?|ims?|imagen(es)?|immagini?|imagery|bild(er)?|fotos?|photos?|pics?|pictures?|frames?|rgba?|colou?rs?|"
    r"sat|satellite|(left|right)?img(\d+bit)?|jpegimages|jpe?gs?|raws?|orig|originals?|org|inputs?|source|src|scans?"
)
_MASK: Final = re.compile(
    r"mask\w*|masqu\w*|m[aá]scar\w*|mascher\w*|labels?|label\w*ids?|labelled|labeled|lbls?|labs?|segs?|segm\w*|"
    r"annots?|annotat\w*|annos?|anns?|gts?|gt(fine|coarse)|ground|groundtruths?|truths?|targets?|trainids?|"
    r"class(es)?|manual|etikett\w*"
)
_NO_MASK: Final = re.compile(
    r"vis|vis_?mask|visual\w*|viz|overla\w*|colou?r\w*|blend\w*|preview\w*|thumb\w*|instance\w*|depth\w*|pred\w*|prob\w*|"
    r"heat\w*|edges?|contours?|outlines?|flows?|polygons?|bbox\w*|box(es)?|cent(er|re|roid)s?|weights?|rgba?"
)
_COMPOUND: Final = re.compile(r"([^\W\d_]+?)(masks?|annots?|labels?|images?)")
_PARTS: Final = re.compile(r"\d+|[^\W\d_]+|[\W_]")
_LONGEST_INSIDE: Final = 6  # parts of a word inside of names
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Rank(IntEnum):
    """How likely a word is to mark masks."""

    OTHER = 0  # what is drawn beside masks: overlays, colours, instances
    UNKNOWN = 1
    MASK = 2


def fold(name: str) -> str:
    """A name without the differences between systems: letter case, and how accented letters are composed."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@lru_cache(1 << 12)
def parts(name: str) -> tuple[str, ...]:
    """A folded name as numbers, single separators and words, of which compounds are two; together they are the name."""
    found: list[str] = []
    for part in _PARTS.findall(name):
        compound = None if not part.isalpha() or _says_kind(part) else _COMPOUND.fullmatch(part)
        found += compound.groups() if compound else [part]
    return tuple(found)


def rank_of_mask(word: str) -> Rank:
    """How likely a word, such as `_mask`, is to mark masks."""
    if any(_NO_MASK.fullmatch(each) for each in _words(word)):
        return Rank.OTHER
    return Rank.MASK if is_mask_word(word) else Rank.UNKNOWN


def is_mask_word(word: str) -> bool:
    """Whether a word says that something is a mask."""
    return any(_MASK.fullmatch(each) for each in _words(word))


def is_image_word(word: str) -> bool:
    """Whether a word says that something is an image."""
    return any(_IMAGE.fullmatch(each) for each in _words(word))


def says_only_kind(word: str) -> bool:
    """Whether a word is made of words for images, masks and the like alone, and tells no image from the next."""
    return all(_says_kind(each) or _NO_MASK.fullmatch(each) for each in _words(word))


def variants(stem: str) -> Iterator[tuple[str, str, bool]]:
    """The cores that a name may have, each with the word that it leaves out, and whether that stands inside."""
    tokens = parts(fold(stem))
    yield "".join(tokens), "", False
    for cut in range(1, len(tokens)):
        before, after = "".join(tokens[:cut]), "".join(tokens[cut:])
        yield before, after, False
        yield after, before, False
        for last in range(cut + 1, min(cut + _LONGEST_INSIDE, len(tokens) - 1) + 1):
            word = "".join(tokens[cut:last])
            if has_letters(word) and says_only_kind(word):
                yield before + "".join(tokens[last:]), word, True


def without(name: str, word: str, inside: bool) -> str | None:
    """A name, folded, without a word at its end, at its start or, if wanted, inside; None where it has not got it."""
    name = fold(name)
    if not word or word not in name:
        return None if word else name
    last = len(name) - len(word)
    starts = (last, 0, *range(last - 1, 0, -1)) if inside else (last, 0)
    for first in starts if last > 0 else ():
        behind = first + len(word)
        if name.startswith(word, first) and _may_cut(name, first) and _may_cut(name, behind):
            return name[:first] + name[behind:]
    return None


def _may_cut(name: str, at: int) -> bool:
    """Whether one of the parts of a folded name begins or ends there."""
    before, behind = name[at - 1 : at], name[at : at + 1]
    if before.isalpha() and behind.isalpha():
        return at in accumulate(map(len, parts(name)))
    return not (before.isdecimal() and behind.isdecimal())


def has_letters(word: str) -> bool:
    """Whether a word has any letter."""
    return any(map(str.isalpha, word))


def as_written(word: str, name: str) -> str:
    """A folded word as a name writes it."""
    start = fold(name).find(word)
    plain = unicodedata.normalize("NFC", name)
    return plain[start : start + len(word)] if word and len(plain) == len(fold(name)) else word


def folder_identity(folder: str) -> str:
    """A folder's path without the words that only say image or mask, folded: `p1/images` and `p1/masks` are `p1`."""
    identities = []
    for part in folder.split("/"):
        words = () if _says_kind(fold(part)) else _words(part)
        kept = [word for word in words if not _says_kind(word)]
        identities.append("" if kept == ["dir"] else " ".join(kept))  # `img_dir` says no more than `img`
    return "/".join(filter(None, identities))


def folder_kind(folder: str) -> str:
    """`mask`, `image` or nothing: what the names in a folder's path say of the files in it."""
    if is_mask_word(folder):
        return "mask"
    return "image" if is_image_word(folder) else ""


@lru_cache(1 << 12)
def _says_kind(word: str) -> bool:
    return bool(_IMAGE.fullmatch(word) or _MASK.fullmatch(word))


@lru_cache(1 << 12)
def _words(name: str) -> tuple[str, ...]:
    """The words and numbers of a name, folded; known ones such as `leftImg8bit` are one, compounds are two."""
    found: list[str] = []
    for piece in filter(None, re.split(r"[\W_]+", name)):
        whole = fold(piece)
        found += [whole] if _says_kind(whole) else [part for word in _CAMEL.split(piece) for part in parts(fold(word))]
    return tuple(found)
