"""The words by which people and tools tell images from masks in the names of files and folders.

Knows vocabulary, and how a name falls into words. Refuses to pair anything.
"""

import re
import unicodedata
from enum import IntEnum
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
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Rank(IntEnum):
    """How likely a word is to mark masks."""

    OTHER = 0
    """It marks what is drawn beside masks: overlays, colours, instances."""
    UNKNOWN = 1
    MASK = 2


def fold(name: str) -> str:
    """A name without the differences between systems: letter case, and how accented letters are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def parts(name: str) -> list[str]:
    """A name as runs of letters, runs of digits and single separators; together they are the name."""
    return _PARTS.findall(name)


def rank_of_mask(word: str) -> Rank:
    """How likely a word, such as `_mask`, is to mark masks."""
    words = _words(word)
    if any(_NO_MASK.fullmatch(each) for each in words):
        return Rank.OTHER
    return Rank.MASK if is_mask_word(word) else Rank.UNKNOWN


def is_mask_word(word: str) -> bool:
    """Whether a word says that something is a mask."""
    return any(_MASK.fullmatch(each) for each in _words(word))


def is_image_word(word: str) -> bool:
    """Whether a word says that something is an image."""
    return any(_IMAGE.fullmatch(each) for each in _words(word))


def says_only_kind(word: str) -> bool:
    """Whether nothing in a word tells one picture from another: it is made of words for images, masks and the like."""
    return all(_says_kind(each) or _NO_MASK.fullmatch(each) for each in _words(word))


def may_part(name: str, cut: int) -> bool:
    """Whether a name may fall into two there: no number is cut, and no word unless one part of it is a mask's."""
    before, after = name[:cut], name[cut:]
    if not before or not after or (before[-1].isdigit() and after[0].isdigit()):
        return False
    if not (before[-1].isalpha() and after[0].isalpha()):
        return True
    return bool(_MASK.fullmatch(parts(before)[-1]) or _MASK.fullmatch(parts(after)[0]))


def folder_identity(folder: str) -> str:
    """A folder's path without the words that only say image or mask, folded: `p1/images` and `p1/masks` are `p1`."""
    kept = [_identity(part) for part in folder.split("/")]
    return "/".join(filter(None, kept))


def folder_side(folder: str) -> str:
    """`mask`, `image` or nothing: what the names in a folder's path say of the files in it."""
    if is_mask_word(folder):
        return "mask"
    return "image" if is_image_word(folder) else ""


def _identity(part: str) -> str:
    words = [] if _says_kind(fold(part)) else _words(part)
    kept = [word for word in words if not _says_kind(word)]
    return "" if kept == ["dir"] != words else " ".join(kept)  # `img_dir` says no more than `img`


def _says_kind(word: str) -> bool:
    return bool(_IMAGE.fullmatch(word) or _MASK.fullmatch(word))


def _words(name: str) -> list[str]:
    """The words and numbers of a name, folded; compounds such as `leftImg8bit` are one, `trainannot` is two."""
    found: list[str] = []
    for compound in filter(None, re.split(r"[\W_]+", name)):
        if _says_kind(fold(compound)):
            found.append(fold(compound))
            continue
        for part in (fold(part) for piece in _CAMEL.split(compound) for part in parts(piece)):
            split = None if _says_kind(part) else _COMPOUND.fullmatch(part)
            found += split.groups() if split else [part]
    return found
