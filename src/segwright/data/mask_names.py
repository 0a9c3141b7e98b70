"""Which image a mask belongs to, by names alone.

Knows the rules: equal paths; equal paths but for letter case and Unicode form; equal names across folders where none
can be mistaken; and one word that all masks, or all images, have in their names in addition. Refuses to open files.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from segwright.data.file_words import Rank, fold, folder_identity, folder_side, says_only_kind
from segwright.data.naming import Name, Naming, candidates
from segwright.errors import DataError
from segwright.wording import counted, listed

_COMMON: Final = 0.5  # of the sampled images have the word that all images are said to have
_SOME: Final = 0.25
_NEARLY_ALL: Final = 0.9
_MANY: Final = 0.1  # of the files of one folder are masks


@dataclass(frozen=True)
class Match:
    """Pairs of (number of the image, number of the mask), and a sentence for each assumption that made some."""

    pairs: tuple[tuple[int, int], ...]
    assumed: tuple[str, ...] = ()


def match_names(images: Sequence[Name], masks: Sequence[Name]) -> Match:
    """Pair the names in two folders, one of images and one of masks.

    Equal names pair, and what is left by a word that says mask. Where no names are equal, or a word explains why they
    are, one word has to explain nearly all masks. Raises DataError where several masks would belong to one image, or
    two words are as good.
    """
    flat = _is_flat(images) or _is_flat(masks)
    equal = _match(Naming(), images, masks, flat)
    if len(equal.pairs) == len(images) == len(masks):
        return equal.told(images, masks)
    if not equal.pairs:
        named = _best(_named(images, masks, flat), images, masks)
        return _match_everywhere(images, masks) if named is None else named.told(images, masks)
    if (instead := _reason_for_equal_names(equal, images, masks, flat)) is not None:
        return instead.told(images, masks)
    left_images = _others(images, [image for image, _ in equal.pairs])
    left_masks = _others(masks, [mask for _, mask in equal.pairs])
    rest_images, rest_masks = [images[i] for i in left_images], [masks[i] for i in left_masks]
    clear = [one for one in _named(rest_images, rest_masks, flat, own_words=False) if one.naming.rank is Rank.MASK]
    told = equal.told(images, masks)
    if clear:
        more = max(clear, key=_merit).renumbered(left_images, left_masks).told(images, masks)
        told = Match(told.pairs + more.pairs, told.assumed + more.assumed)
    return told


def match_in_one_folder(files: Sequence[Name], image_endings: Sequence[str], mask_endings: Sequence[str]) -> Match:
    """Pair the names in one folder that holds images and masks; both numbers of a pair are those in `files`.

    Sub-folders that are named for one of the two hold only that. No file is both. Raises DataError as `match_names`
    does.
    """
    sides = [folder_side(name.folder) for name in files]
    images = [i for i, name in enumerate(files) if sides[i] != "mask" and name.ending.lower() in image_endings]
    masks = [i for i, name in enumerate(files) if sides[i] != "image" and name.ending.lower() in mask_endings]
    if set(images).isdisjoint(masks):
        found = match_names([files[i] for i in images], [files[i] for i in masks])
        return Match(tuple((images[i], masks[m]) for i, m in found.pairs), found.assumed)
    best = _best(_named_in_one(files, images, masks), files, files)
    by_ending = [i for i in images if files[i].ending.lower() not in mask_endings]
    equal = _match_some(Naming(), files, by_ending, masks)
    if not equal.pairs or (best and best.naming.rank is Rank.MASK):
        return Match(()) if best is None else best.told(files, files)
    taken = {mask for _, mask in equal.pairs}
    left = [i for i in masks if i not in taken]
    also = _named([files[i] for i in by_ending], [files[i] for i in left], _is_flat(files))
    clear = [one.renumbered(by_ending, left) for one in also if one.naming.rank is Rank.MASK]
    _check_several(equal, [equal, *clear], files, files)
    return Match(equal.pairs, (Naming().told([(files[i], files[m]) for i, m in equal.pairs]),))


def _match_everywhere(images: Sequence[Name], masks: Sequence[Name]) -> Match:
    """Pair equal names whatever folders they lie in, where every name has one partner.

    Names that differ in digits alone pair nothing: they count the frames of any drive or patient.
    """
    found = _match(Naming(), images, masks, flat=True)
    are_counted = len({re.sub(r"\d+", "", name.stem) for name in images}) == 1
    return found.told(images, masks) if found.complete and not are_counted else Match(())


@dataclass(frozen=True)
class _Matched:
    """What one naming pairs."""

    naming: Naming
    pairs: tuple[tuple[int, int], ...]
    respelt: tuple[tuple[int, int], ...] = ()
    """Those whose names are equal only but for letter case and Unicode form."""
    across: tuple[tuple[int, int], ...] = ()
    """Those that lie in sub-folders of different names."""
    images: int = 0
    """How many names may be images by this naming."""
    masks: int = 0
    complete: bool = False
    """Whether every image has a mask, and every mask an image."""

    @property
    def cover(self) -> float:
        """The share of the files that it explains, on the side that has fewer."""
        return len(self.pairs) / max(min(self.images, self.masks), 1)

    def renumbered(self, images: Sequence[int], masks: Sequence[int]) -> "_Matched":
        """The same with the numbers that the names have in longer lists."""
        pairs, respelt, across = (
            tuple((images[i], masks[m]) for i, m in some) for some in (self.pairs, self.respelt, self.across)
        )
        return replace(self, pairs=pairs, respelt=respelt, across=across)

    def told(self, images: Sequence[Name], masks: Sequence[Name]) -> Match:
        """The pairs, with a sentence for each thing that was assumed."""
        return Match(self.pairs, tuple(self._assumed(images, masks)))

    def _assumed(self, images: Sequence[Name], masks: Sequence[Name]) -> Iterator[str]:
        if self.naming != Naming():
            yield self.naming.told([(images[i], masks[m]) for i, m in self.pairs])
        if self.respelt:
            image, mask = self.respelt[0]
            yield (
                f"letter case and Unicode form of names are passed over ({counted(len(self.respelt), 'pair')}, for "
                f"example {images[image]} with {masks[mask]})"
            )
        if self.across:
            image, mask = self.across[0]
            yield (
                "files in sub-folders of different names are paired by their own names "
                f"({counted(len(self.across), 'pair')}, for example {images[image]} with {masks[mask]})"
            )


class _Entry(NamedTuple):
    number: int
    folder: str
    core: str
    plain: str
    """The core as it is written, to prefer names that are equal to the letter."""


def _match(naming: Naming, images: Sequence[Name], masks: Sequence[Name], flat: bool) -> _Matched:
    """What a naming pairs: in equal folders, in those that differ only by words for image and mask and, with `flat`,
    across all folders; each time where a name is unique on both sides.
    """
    left = [_entries(naming.image_core, images), _entries(naming.mask_core, masks)]
    counts = len(left[0]), len(left[1])
    same = naming == Naming()
    found = _pair_up(left, lambda entry: (entry.folder, entry.plain)) if same else []
    respelt = _pair_up(left, lambda entry: (fold(entry.folder), entry.core))
    identities = {folder: folder_identity(folder) for folder in {entry.folder for split in left for entry in split}}
    across = _pair_up(left, lambda entry: (identities[entry.folder], entry.core))
    if flat:
        across += _pair_up(left, lambda entry: entry.core)
    pairs = tuple(sorted(found + respelt + across))
    complete = len(pairs) == len(images) == len(masks)
    return _Matched(naming, pairs, tuple(respelt) if same else (), tuple(across), *counts, complete)


def _entries(core_of: Callable[[Name], str | None], names: Sequence[Name]) -> list[_Entry]:
    cores = ((number, name, core_of(name)) for number, name in enumerate(names))
    return [_Entry(number, name.folder, core, name.stem) for number, name, core in cores if core is not None]


def _is_flat(names: Sequence[Name]) -> bool:
    """Whether no sub-folder tells files from each other: then names alone do."""
    return not any(folder_identity(folder) for folder in {name.folder for name in names})


def _pair_up(left: list[list[_Entry]], key: Callable[[_Entry], object]) -> list[tuple[int, int]]:
    """Pair what has an equal key, if it is unique on both sides, and take it out of the lists."""
    by_key: tuple[defaultdict[object, list[_Entry]], ...] = (defaultdict(list), defaultdict(list))
    for index, split in zip(by_key, left, strict=True):
        for entry in split:
            index[key(entry)].append(entry)
    images, masks = by_key
    found = [
        (some[0], masks[one][0]) for one, some in images.items() if len(some) == 1 and len(masks.get(one, ())) == 1
    ]
    for place, split in enumerate(left):
        taken = {pair[place].number for pair in found}
        left[place] = [entry for entry in split if entry.number not in taken]
    return [(image.number, mask.number) for image, mask in found]


def _match_some(naming: Naming, files: Sequence[Name], images: Sequence[int], masks: Sequence[int]) -> _Matched:
    """What a naming pairs of some images and some masks among the files of one folder, by their numbers."""
    some_images, some_masks = [files[i] for i in images], [files[i] for i in masks]
    flat = _is_flat(some_images) or _is_flat(some_masks)
    return _match(naming, some_images, some_masks, flat).renumbered(images, masks)


def _merit(matched: _Matched) -> tuple[bool, tuple[Rank, bool], int, int]:
    """How good an explanation is: one of all files is better than any likely word."""
    naming = matched.naming
    return matched.complete, naming.likelihood, len(matched.pairs), -len(naming.image_word + naming.mask_word)


def _best(found: Sequence[_Matched], images: Sequence[Name], masks: Sequence[Name]) -> _Matched | None:
    """The naming that explains the files; DataError where others are as likely and pair masks that it leaves over."""
    if not found:
        return None
    best = max(found, key=_merit)
    explained = _explained(best, images, masks)
    rivals = [best]
    for one in found:
        if one.naming.likelihood == best.naming.likelihood and not explained.issuperset(mask for _, mask in one.pairs):
            rivals.append(one)
    _check_several(best, rivals, images, masks)
    together = {image for rival in rivals for image, _ in rival.pairs}
    if len(best.pairs) < _NEARLY_ALL * len(together):
        raise DataError(f"masks are named in several ways, none of which holds for all: {_words_of(rivals)}.")
    _check_several(best, [best, *_on_leftovers(best, images, masks)], images, masks)
    return best


def _explained(best: _Matched, images: Sequence[Name], masks: Sequence[Name]) -> set[int]:
    """What is no other image's mask by the best naming: its masks and, where both lie in one folder, its images."""
    return {mask for _, mask in best.pairs} | ({image for image, _ in best.pairs} if images is masks else set())


def _on_leftovers(best: _Matched, images: Sequence[Name], masks: Sequence[Name]) -> list[_Matched]:
    """What words for masks pair of what the best naming leaves over: second masks of a few pictures, such as
    `x_mask_1.png` beside `x_mask.png`, are too rare to be believed, and are not to be lost either.
    """
    paired = [image for image, _ in best.pairs]
    left = _others(masks, _explained(best, images, masks))
    with_mask, rest = [images[i] for i in paired], [masks[i] for i in left]
    words = [naming for naming in candidates(with_mask, rest, own_words=False) if naming.rank is Rank.MASK]
    return [_match(naming, with_mask, rest, flat=False).renumbered(paired, left) for naming in words]


def _check_several(best: _Matched, rivals: Sequence[_Matched], images: Sequence[Name], masks: Sequence[Name]) -> None:
    """Raise DataError where a rival pairs images that have a mask already with masks that are left over."""
    mask_of, explained = dict(best.pairs), _explained(best, images, masks)
    for rival in rivals:
        several = [(image, mask) for image, mask in rival.pairs if mask not in explained and image in mask_of]
        if several:
            image, mask = several[0]
            raise DataError(
                f"{counted(len(several), 'image has', 'images have')} several masks: {images[image]} has "
                f"{masks[mask_of[image]]} and {masks[mask]}. What masks add to the names of images: "
                f"{_words_of(rivals)}. A mask holds all classes of its image: merge them into one, or leave only those "
                "that count in the folder."
            )


def _words_of(found: Iterable[_Matched]) -> str:
    return listed([f"{word} ({pairs})" for word, pairs in {str(one.naming): len(one.pairs) for one in found}.items()])


def _reason_for_equal_names(
    equal: _Matched, images: Sequence[Name], masks: Sequence[Name], flat: bool
) -> _Matched | None:
    """A naming by which all masks that are named as an image belong to other images: then equal names are chance, or
    the images' folder holds the masks as well.
    """
    equal_masks = {mask for _, mask in equal.pairs}
    for one in sorted(_named(images, masks, flat, own_words=False), key=_merit, reverse=True):
        explains = equal_masks <= {mask for _, mask in one.pairs}
        more = len(one.pairs) > len(equal.pairs) or one.naming.rank is Rank.MASK
        if explains and more and one.cover >= _NEARLY_ALL:
            return one
    return None


def _named(images: Sequence[Name], masks: Sequence[Name], flat: bool, own_words: bool = True) -> list[_Matched]:
    """What each naming pairs that explains enough of two folders to be believed."""
    tried = [_match(naming, images, masks, flat) for naming in candidates(images, masks, own_words)]
    return [one for one in tried if _is_believed(one, images, masks)]


def _is_believed(matched: _Matched, images: Sequence[Name], masks: Sequence[Name]) -> bool:
    if matched.naming.needs_all:
        return len(matched.pairs) == len(images) == len(masks) > 1
    if len(matched.pairs) < _SOME * min(len(images), len(masks)):
        return False
    if matched.naming.rank is Rank.MASK:
        return matched.cover >= _COMMON
    return len(matched.pairs) >= _NEARLY_ALL * min(len(images), len(masks))


def _named_in_one(files: Sequence[Name], images: Sequence[int], masks: Sequence[int]) -> list[_Matched]:
    """The same of one folder: a naming says which files are masks as well."""
    found = []
    for naming in candidates([files[i] for i in images], [files[i] for i in masks]):
        if naming.needs_all:
            continue
        some_images, some_masks = _parted(naming, files, images, masks)
        endings = ({files[i].ending.lower() for i in some} for some in (some_images, some_masks))
        matched = _match_some(naming, files, some_images, some_masks)
        if not set.isdisjoint(*endings) and not _is_telling(matched, len(files)):
            continue
        share = _COMMON if naming.rank is Rank.MASK else _NEARLY_ALL
        enough = share * (matched.masks if naming.rank is Rank.MASK else max(matched.images, matched.masks))
        if matched.pairs and len(matched.pairs) >= enough:
            found.append(matched)
    return found


def _is_telling(matched: _Matched, files: int) -> bool:
    """Whether a word says mask where endings do not: `a_flip.png` is a picture made from `a.png`, and `c_mask_a.png`
    has the name of another one in it, unless many files are named so.
    """
    word = re.sub(r"\d", "", matched.naming.mask_word)
    return matched.naming.rank is Rank.MASK and (says_only_kind(word) or len(matched.pairs) >= _MANY * files)


def _parted(
    naming: Naming, files: Sequence[Name], images: Sequence[int], masks: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The images and the masks among files that may be either."""
    if naming.mask_word:
        marked = {i for i in masks if naming.mask_core(files[i]) is not None}
    elif naming.image_word:
        marked = set(masks) - {i for i in images if naming.image_core(files[i]) is not None}
    else:
        cores = {naming.image_core(files[i]) for i in images}
        marked = {i for i in masks if naming.mask_core(files[i]) in cores}
    return [i for i in images if i not in marked], sorted(marked)


def _others(names: Sequence[Name], taken: Iterable[int]) -> list[int]:
    gone = set(taken)
    return [number for number in range(len(names)) if number not in gone]
