"""Which image each mask belongs to, by names alone.

A naming is the word that images have in their names and the one that masks have. Names without their words are cores,
and equal cores pair: in equal folders, in folders that differ only by words for images and masks, and across all
folders where these tell no files apart. Of the namings that the files suggest, the likeliest that explains enough of
them is taken.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Final, NamedTuple

from segwright.data import file_words
from segwright.data.file_words import Rank, fold, has_letters, is_mask_word, says_only_kind
from segwright.errors import DataError
from segwright.wording import counted, listed

_SAMPLED: Final = 200  # names from which namings are guessed; all names are then tried with them
_MOST_NAMINGS: Final = 12
_SOME: Final = 0.25  # of what can pair does so by a word for masks that says more than that
_MOST: Final = 0.9  # of what can pair does so by an unknown word
_MOST_IN_ONE: Final = 0.75  # the same in one folder, of the files that the word tells to be images or masks
_NEARLY_ALL: Final = 0.9  # of the images that any likely naming pairs are paired by the best
_FEW: Final = 0.1  # of names have a word that says only the kind
_COMMON: Final = 1 / 3  # of names, or fewer, have a word that tells them from others

Pairs = tuple[tuple[int, int], ...]


class Name(NamedTuple):
    """The name of a file below its channel; `folder` has forward slashes, and is empty for the channel itself."""

    folder: str
    stem: str
    ending: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.file}" if self.folder else self.file

    @property
    def file(self) -> str:
        """Its name with the ending."""
        return self.stem + self.ending


class Match(NamedTuple):
    """Pairs of (number of the image, number of the mask), and a sentence for each assumption that made some."""

    pairs: Pairs
    assumed: tuple[str, ...] = ()


def match_names(names: Sequence[Name], images: Iterable[int], masks: Iterable[int]) -> Match:
    """Pair those of some names that may be images with those that may be masks, by their numbers.

    In one folder of both a name may be either, unless a sub-folder says which. Equal names pair, and what is left by a
    word that says mask; or all names by one word that explains more. Raises DataError where several masks would belong
    to one image, or two words are as good.
    """
    files = _Files(names, images, masks)
    equal = files.matched(_EQUAL)
    if files.is_complete(equal):
        return files.described(equal)
    believed = [one for one in map(files.matched, files.candidates()) if files.is_believed(one)]
    if instead := [one for one in believed if one.explains(equal)]:
        best = max(instead, key=files.merit)
        files.check_best(best, believed)
        return files.described(best)
    if not equal.pairs:
        anywhere = files.matched(_EQUAL, everywhere=True)
        are_counted = len({re.sub(r"\d+", "", names[image].stem) for image in files.images}) == 1
        return files.described(anywhere) if files.is_complete(anywhere) and not are_counted else Match(())
    files.check_several(equal, [equal, *files.second_masks(equal)])
    left = _Files(names, files.images - equal.files, files.masks - equal.files, files.flat)
    named = max(filter(left.is_believed, left.by_mask_words()), key=left.merit, default=None)
    first, rest = files.described(equal), left.described(named) if named else Match(())
    return Match(first.pairs + rest.pairs, first.assumed + rest.assumed)


@dataclass(frozen=True, order=True)
class _Naming:
    """An assumption: names agree without the word that images have, and without the one that masks have."""

    image_word: str = ""
    mask_word: str = ""
    keeps_ending: bool = False  # the image's ending is part of the mask's name, as in `a.jpg.png`
    inside: bool = False  # the words may stand inside of names, as in `town_rgb_01`

    def __str__(self) -> str:
        if self.image_word:
            return f'"{self.image_word}" in images, "{self.mask_word}" in masks'
        return f'"{self.mask_word}"' if self.mask_word else "nothing"

    @property
    def likelihood(self) -> tuple[Rank, bool]:
        """How likely the word of masks, or the only one, marks its kind, and whether nothing is unknown in images."""
        known = file_words.is_image_word(self.image_word)
        rank = file_words.rank_of_mask(self.mask_word) if self.mask_word else Rank.MASK if known else Rank.UNKNOWN
        return rank, known or not self.image_word

    @property
    def words(self) -> str:
        return self.image_word + self.mask_word

    @property
    def is_plausible(self) -> bool:
        """Whether it says something; of two words one is known."""
        if self.image_word and self.mask_word:
            return self.image_word != self.mask_word and (
                file_words.is_image_word(self.image_word) or is_mask_word(self.mask_word)
            )
        return bool(self.words) or self.keeps_ending

    @property
    def says_mask(self) -> bool:
        return self.likelihood[0] is Rank.MASK

    @property
    def goodness(self) -> tuple[Rank, bool, int, bool]:
        """Orders namings that explain the same masks: the likeliest and shortest is best."""
        return *self.likelihood, -len(self.words), not self.inside

    def image_core(self, name: Name) -> str | None:
        """What an image's name has in common with its mask's, folded; None where it lacks the word."""
        return file_words.without(name.file if self.keeps_ending else name.stem, self.image_word, self.inside)

    def mask_core(self, name: Name) -> str | None:
        return file_words.without(name.stem, self.mask_word, self.inside)

    def describe(self, image: Name, mask: Name) -> str:
        """The assumption as a sentence; words are written as in an example."""
        image_word = file_words.as_written(self.image_word, image.stem)
        mask_word = file_words.as_written(self.mask_word, mask.stem)
        if image_word and mask_word:
            return f'images and masks have the same names without "{image_word}" in images and "{mask_word}" in masks'
        if image_word:
            return f'images are named as their masks plus "{image_word}"'
        ending = ", ending included" + ("," if mask_word else "") if self.keeps_ending else ""
        return f"masks are named as their images{ending}" + (f' plus "{mask_word}"' if mask_word else "")


_EQUAL: Final = _Naming()


@dataclass(frozen=True)
class _Matched:
    naming: _Naming
    steps: tuple[Pairs, Pairs, Pairs]
    """Pairs by names that are equal to the letter, by cores in equal folders, and across folders of different names."""
    images: int  # how many files may be images by this naming
    masks: int

    @cached_property
    def pairs(self) -> Pairs:
        return tuple(sorted(chain(*self.steps)))

    @cached_property
    def paired_masks(self) -> set[int]:
        return {mask for _, mask in self.pairs}

    def explains(self, equal: "_Matched") -> bool:
        """Whether this is the reason why names are equal: all masks of equal names then belong to other images."""
        more = len(self.pairs) > len(equal.pairs) and not self.naming.image_word
        is_better = not equal.pairs or more or is_mask_word(self.naming.mask_word)
        return is_better and equal.paired_masks <= self.paired_masks

    @cached_property
    def files(self) -> set[int]:
        return set(chain(*self.pairs))


class _Files:
    """Files to be paired, by their numbers."""

    def __init__(
        self, names: Sequence[Name], images: Iterable[int], masks: Iterable[int], flat: bool | None = None
    ) -> None:
        self.names, self.images, self.masks = names, set(images), set(masks)
        if self.images & self.masks:
            self.images = {number for number in self.images if file_words.folder_kind(names[number].folder) != "mask"}
            self.masks = {number for number in self.masks if file_words.folder_kind(names[number].folder) != "image"}
        self.one_folder = bool(self.images & self.masks)
        self.possible = len(self.images | self.masks) / 2 if self.one_folder else min(len(self.images), len(self.masks))
        folders = [{names[number].folder for number in some} for some in (self.images, self.masks)]
        # No sub-folder tells files of one kind from each other: names alone do.
        self.flat = any(not any(map(file_words.folder_identity, some)) for some in folders) if flat is None else flat

    def matched(self, naming: _Naming, everywhere: bool = False) -> _Matched:
        """What a naming pairs, in each step where a core is unique on both sides."""
        names = self.names
        images, masks = self.divided(naming)
        cores = (
            {i: core for i in images if (core := naming.image_core(names[i])) is not None},
            {i: core for i in masks if (core := naming.mask_core(names[i])) is not None},
        )
        counts = len(cores[0]), len(cores[1])
        to_the_letter = _pair_up(cores, lambda i, _: names[i][:2]) if naming == _EQUAL else ()
        folded = _pair_up(cores, lambda i, core: (fold(names[i].folder), core))
        across = _pair_up(cores, lambda i, core: (file_words.folder_identity(names[i].folder), core))
        if everywhere or self.flat:
            across += _pair_up(cores, lambda _, core: core)
        return _Matched(naming, (to_the_letter, folded, across), *counts)

    def divided(self, naming: _Naming) -> tuple[set[int], set[int]]:
        """The images and the masks by a naming, of which no file is both."""
        marked = self.masks
        if naming.mask_word:
            marked = {i for i in self.masks if naming.mask_core(self.names[i]) is not None}
        elif naming.image_word:
            marked = self.masks - {i for i in self.images if naming.image_core(self.names[i]) is not None}
        elif naming.keeps_ending:
            cores = {naming.image_core(self.names[i]) for i in self.images}
            marked = {i for i in self.masks if naming.mask_core(self.names[i]) in cores}
        return self.images - marked, marked

    def candidates(self) -> list[_Naming]:
        """Namings that hold for some masks; those with words of images only where no word that says mask fits most."""
        found = self.suggested({""})
        most = min(len(self.masks), _SAMPLED) / 2
        if not any(naming.says_mask and len(some) >= most for naming, some in found.items()):
            own = self.suggested({word for word in self.common_words(self.images) if not is_mask_word(word)})
            mask_words = self.common_words(self.masks) | {""}
            found |= {naming: some for naming, some in own.items() if naming.mask_word in mask_words}
        same: defaultdict[frozenset[int], list[_Naming]] = defaultdict(list)
        for naming in sorted(found, reverse=True):  # of equal namings words without a digit come first
            same[frozenset(found[naming])].append(naming)
        best = {max(namings, key=lambda one: one.goodness): len(some) for some, namings in same.items()}
        return sorted(best, key=lambda one: (one.likelihood, best[one]), reverse=True)[:_MOST_NAMINGS]

    def by_mask_words(self) -> list[_Matched]:
        """What words that say mask pair where masks add them to the names of images."""
        found = {naming: len(some) for naming, some in self.suggested({""}).items() if naming.says_mask}
        return [
            self.matched(naming)
            for naming in sorted(found, key=lambda one: (found[one], one), reverse=True)[:_MOST_NAMINGS]
        ]

    def suggested(self, image_words: Set[str]) -> dict[_Naming, set[int]]:
        """Namings with one of some words for images by which any mask of a sample has an image, and these masks."""
        namings = [_Naming(word) for word in image_words]
        namings += [_Naming(word, inside=True) for word in image_words if word and says_only_kind(word)]
        namings += [_Naming(keeps_ending=True)] if "" in image_words else []
        of_masks = [
            (mask, variant) for mask in _sample(self.masks) for variant in file_words.variants(self.names[mask].stem)
        ]
        namings_of: dict[str | None, set[_Naming]] = {core: set() for _, (core, _, _) in of_masks}
        for name in (self.names[image] for image in self.images):
            for naming in namings:
                if (core := naming.image_core(name)) in namings_of:
                    namings_of[core].add(naming)
        found: defaultdict[_Naming, set[int]] = defaultdict(set)
        for mask, (core, word, inside) in of_masks:
            for naming in namings_of[core]:
                both = replace(naming, mask_word=word, inside=inside or naming.inside)
                if both.is_plausible:
                    found[both].add(mask)
        return found

    def common_words(self, files: Set[int]) -> set[str]:
        """Words in the names of some files that say only what these are, or that many have."""
        stems = {fold(self.names[number].stem) for number in _sample(files)}
        found = [(stem, core, word) for stem in stems for core, word, _ in file_words.variants(stem)]
        seen = Counter(word for _, word in {(stem, word) for stem, _, word in found})
        at_end = {word for stem, core, word in found if core + word == stem}

        def is_common(word: str, count: int) -> bool:
            if says_only_kind(word):
                return count >= _FEW * len(stems)
            tokens = file_words.parts(word)
            halves = [("".join(tokens[:cut]), "".join(tokens[cut:])) for cut in range(1, len(tokens))]
            shorter = [half[::-1] if word in at_end else half for half in halves]
            tells_apart = any(seen[kept] > count and not says_only_kind(rest) for kept, rest in shorter)
            return count > max(1, _COMMON * len(stems)) and not tells_apart

        return {word for word, count in seen.items() if has_letters(word) and is_common(word, count)}

    def is_complete(self, one: _Matched) -> bool:
        return len(one.files) == len(self.images | self.masks)

    def is_believed(self, one: _Matched) -> bool:
        """Whether a naming explains enough. In one folder `a_flip.png` is no mask but an image made from `a.png`."""
        naming, pairs = one.naming, len(one.pairs)
        if self.one_folder and naming.says_mask and says_only_kind(re.sub(r"\d", "", naming.words)):
            return 0 < one.masks <= 2 * pairs and pairs >= (_FEW * self.possible if naming.image_word else 1)
        if not has_letters(naming.mask_word) and not naming.keeps_ending and not naming.says_mask:
            return not self.one_folder and self.is_complete(one) and pairs > 1
        if self.one_folder and not naming.says_mask:
            images, masks = ({self.names[i].ending.lower() for i in some} for some in self.divided(naming))
            if not images.isdisjoint(masks):
                return False
        if naming.says_mask:
            return pairs >= _SOME * self.possible and 2 * pairs >= min(one.images, one.masks)
        least = _MOST_IN_ONE * max(one.images, one.masks) if self.one_folder else _MOST * self.possible
        return pairs > 0 and pairs >= least

    def merit(self, one: _Matched) -> tuple[bool, tuple[Rank, bool], int, int]:
        """How good an explanation is: one of all files is better than any likely word."""
        return self.is_complete(one), one.naming.likelihood, len(one.pairs), -len(one.naming.words)

    def check_best(self, best: _Matched, believed: Sequence[_Matched]) -> None:
        """Raise DataError where other namings are as likely and pair masks that the best one leaves over."""
        alike = [one for one in believed if one.naming.likelihood == best.naming.likelihood]
        rivals = [best, *(one for one in alike if not one.paired_masks <= best.files)]
        self.check_several(best, rivals)
        if len(best.pairs) < _NEARLY_ALL * len({image for rival in rivals for image, _ in rival.pairs}):
            raise DataError(f"masks are named in several ways, none of which holds for all: {_words_of(rivals)}.")
        self.check_several(best, [best, *self.second_masks(best)])

    def second_masks(self, best: _Matched) -> list[_Matched]:
        """Masks that are left over of images that have one already, such as `x_mask_1.png` beside `x_mask.png`."""
        return _Files(self.names, dict(best.pairs), self.masks - best.files, flat=False).by_mask_words()

    def check_several(self, best: _Matched, rivals: Sequence[_Matched]) -> None:
        """Raise DataError where a rival pairs images that have a mask already with masks that are left over."""
        mask_of, files = dict(best.pairs), best.files
        for rival in rivals:
            several = [(image, mask) for image, mask in rival.pairs if mask not in files and image in mask_of]
            if several:
                image, mask = several[0]
                raise DataError(
                    f"{counted(len(several), 'image has', 'images have')} several masks: {self.names[image]} has "
                    f"{self.names[mask_of[image]]} and {self.names[mask]}. What masks add to the names of images: "
                    f"{_words_of(rivals)}. A mask holds all classes of its image: merge them into one, or leave only "
                    "those that count in the folder."
                )

    def described(self, one: _Matched) -> Match:
        """The pairs, with a sentence for each thing that was assumed."""
        same, assumed = one.naming == _EQUAL, []
        for pairs, what in (
            (one.pairs if self.one_folder or not same else (), ""),
            (one.steps[1] if same else (), "letter case and Unicode form of names are passed over"),
            (one.steps[2], "files in sub-folders of different names are paired by their own names"),
        ):
            if pairs:
                image, mask = (self.names[number] for number in pairs[0])
                what = what or one.naming.describe(image, mask)
                assumed.append(f"{what} ({counted(len(pairs), 'pair')}, for example {image} with {mask})")
        return Match(one.pairs, tuple(assumed))


def _pair_up(cores: tuple[dict[int, str], dict[int, str]], key: Callable[[int, str], object]) -> Pairs:
    """Pair the images and masks whose key is equal and unique on both sides, and take their cores out."""
    by_key: tuple[defaultdict[object, list[int]], ...] = (defaultdict(list), defaultdict(list))
    for index, some in zip(by_key, cores, strict=True):
        for number, core in some.items():
            index[key(number, core)].append(number)
    both = ((some, by_key[1].get(one, ())) for one, some in by_key[0].items())
    pairs = tuple((images[0], masks[0]) for images, masks in both if len(images) == len(masks) == 1)
    for image, mask in pairs:
        del cores[0][image], cores[1][mask]
    return pairs


def _sample(files: Set[int]) -> list[int]:
    return random.Random(0).sample(sorted(files), min(len(files), _SAMPLED))


def _words_of(found: Iterable[_Matched]) -> str:
    return listed([f"{word} ({pairs})" for word, pairs in {str(one.naming): len(one.pairs) for one in found}.items()])
