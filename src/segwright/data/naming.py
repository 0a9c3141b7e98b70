"""What a mask adds to the name of its image: assumptions about names, and which of them may hold.

Knows names alone. Refuses to pair files: `mask_names` does.
"""

import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from segwright.data.file_words import (
    Rank,
    fold,
    is_image_word,
    is_mask_word,
    may_part,
    parts,
    rank_of_mask,
    says_only_kind,
)
from segwright.wording import counted

_SAMPLED: Final = 200  # names from which words are guessed; all names are then tried with them
_FREQUENT: Final = 0.1  # of the sampled names have a word: files of other kinds may lie among them
_UNKNOWN_FREQUENT: Final = 1 / 3  # the same of words that say more than the kind
_LONGEST_WORD: Final = 6  # parts
_MOST_WORDS: Final = 32
_MOST_NAMINGS: Final = 12


class Name(NamedTuple):
    """The name of a file below its channel."""

    folder: str
    """Its folder with forward slashes, empty for the channel itself."""
    stem: str
    """Its name without the ending."""
    ending: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.file}" if self.folder else self.file

    @property
    def file(self) -> str:
        """Its name with the ending."""
        return self.stem + self.ending


@dataclass(frozen=True)
class Naming:
    """An assumption: names agree without the word that images have, and without the one that masks have."""

    image_word: str = ""
    mask_word: str = ""
    keeps_ending: bool = False
    """Whether the image's ending is part of the mask's name, as in `a.jpg.png`."""
    inside: bool = False
    """Whether the words may stand inside of names, as in `town_rgb_01`."""

    def __str__(self) -> str:
        words = [f'"{self.image_word}" in images'] if self.image_word else []
        return (
            ", ".join([*words, f'"{self.mask_word}"' + (" in masks" if words else "")])
            if self != Naming()
            else "nothing"
        )

    @property
    def rank(self) -> Rank:
        """How likely it is: the word of the masks counts, or that of the images where masks have none."""
        if self.mask_word:
            return rank_of_mask(self.mask_word)
        return Rank.MASK if is_image_word(self.image_word) else Rank.UNKNOWN

    @property
    def likelihood(self) -> tuple[Rank, bool]:
        """The rank, and whether nothing speaks against the word of the images."""
        return self.rank, not self.image_word or is_image_word(self.image_word)

    @property
    def needs_all(self) -> bool:
        """Whether it is only believed where it explains every file."""
        if not self.mask_word:
            return not is_image_word(self.image_word) and not self.keeps_ending
        return not any(character.isalpha() for character in self.mask_word)

    def image_core(self, name: Name) -> str | None:
        """What an image's name has in common with its mask's, folded; None where it lacks the word."""
        return _without(fold(name.file if self.keeps_ending else name.stem), self.image_word, self.inside)

    def mask_core(self, name: Name) -> str | None:
        """The same of a mask."""
        return _without(fold(name.stem), self.mask_word, self.inside)

    def told(self, pairs: Sequence[tuple[Name, Name]]) -> str:
        """The assumption as a sentence, with the number of pairs and an example."""
        image, mask = pairs[0]
        image_word, mask_word = _as_written(self.image_word, image.stem), _as_written(self.mask_word, mask.stem)
        ending = ", ending included" if self.keeps_ending else ""
        if image_word and mask_word:
            what = f'images and masks have the same names without "{image_word}" in images and "{mask_word}" in masks'
        elif image_word:
            what = f'images are named as their masks plus "{image_word}"'
        elif mask_word:
            what = f'masks are named as their images{ending}, plus "{mask_word}"'.replace("images, plus", "images plus")
        else:
            what = f"masks are named as their images{ending}"
        return f"{what} ({counted(len(pairs), 'pair')}, for example {image} with {mask})"


def candidates(images: Sequence[Name], masks: Sequence[Name], own_words: bool = True) -> list[Naming]:
    """Namings that hold for some of the masks: words that they add and, if wanted, words that either side has of its
    own, unless a word for masks is added by most.
    """
    chance = random.Random(0)
    sample = chance.sample(masks, min(len(masks), _SAMPLED))
    added = _added_words(images, sample)
    by_most = any(naming.rank is Rank.MASK and 2 * count >= len(sample) for naming, count in added.items())
    if not own_words or by_most:
        return list(added)
    return [*added, *_own_words(images, chance.sample(images, min(len(images), _SAMPLED)), sample)]


def _added_words(images: Sequence[Name], masks: Sequence[Name]) -> dict[Naming, int]:
    """What masks have before or behind the names of images, and how many, the most frequent first."""
    stems, files = {fold(name.stem) for name in images}, {fold(name.file) for name in images}
    seen: Counter[Naming] = Counter()
    for mask in masks:
        name = fold(mask.stem)
        if name in files:
            seen[Naming(keeps_ending=True)] += 1
        for cut in range(1, len(name)):
            for core, word in ((name[:cut], name[cut:]), (name[cut:], name[:cut])):
                for keeps_ending, known in ((False, stems), (True, files)):
                    if core in known and may_part(name, cut):
                        seen[Naming("", word, keeps_ending)] += 1
    return dict(seen.most_common(_MOST_NAMINGS))


def _own_words(images: Sequence[Name], some_images: Sequence[Name], some_masks: Sequence[Name]) -> list[Naming]:
    """Words that images have and masks have not, or each their own, of which one says what they are."""
    image_words = [word for word in _frequent_words(some_images) if not is_mask_word(word)]
    mask_words = _frequent_words(some_masks)
    stems = [fold(name.stem) for name in images]
    explained: defaultdict[tuple[bool, ...], list[Naming]] = defaultdict(list)
    for image_word, inside in product(["", *image_words], (False, True)):
        known = is_image_word(image_word)
        if inside and image_word and not known:
            continue
        cores = {_without(stem, image_word, inside) for stem in stems} if image_word else set(stems)
        for mask_word in ["", *mask_words]:
            if image_word == mask_word or (image_word and mask_word and not known and not is_mask_word(mask_word)):
                continue
            naming = Naming(image_word, mask_word, inside=inside)
            found = [naming.mask_core(name) for name in some_masks]
            explained[tuple(core is not None and core in cores for core in found)].append(naming)
    seen = {min(same, key=_plainness): sum(masks) for masks, same in explained.items() if any(masks)}
    return sorted(seen, key=lambda naming: (naming.likelihood, seen[naming]), reverse=True)[:_MOST_NAMINGS]


def _plainness(naming: Naming) -> tuple[int, int, bool]:
    """Which of several namings that explain the same masks is taken: the most likely and shortest."""
    return -naming.rank, len(naming.image_word + naming.mask_word), naming.inside


def _frequent_words(names: Sequence[Name]) -> list[str]:
    """Words that many names have: those that tell the kind first, then the most frequent and longest.

    Inside of names, words count only if they tell the kind. At either end, a word holds nothing that tells one file
    from the next: `1_seg` is none where others have `2_seg`, nor where few names have it.
    """
    stems = {fold(name.stem) for name in names}
    seen: Counter[str] = Counter()
    shorter: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for stem in stems:
        pieces = parts(stem)
        words = set()
        for first, last in _runs(len(pieces)):
            word = "".join(pieces[first:last])
            if not any(map(str.isalpha, word)):
                continue
            if last == len(pieces):
                cuts = [("".join(pieces[cut:last]), "".join(pieces[first:cut])) for cut in range(first + 1, last)]
            elif first == 0:
                cuts = [("".join(pieces[:cut]), "".join(pieces[cut:last])) for cut in range(1, last)]
            elif is_image_word(word) or is_mask_word(word):
                cuts = []
            else:
                continue
            words.add(word)
            shorter[word].update(cuts)
        seen.update(words)

    def is_word(word: str, count: int) -> bool:
        if says_only_kind(word):
            return count >= _FREQUENT * len(stems)
        common = count > max(1, _UNKNOWN_FREQUENT * len(stems))
        return common and all(seen[less] <= count or says_only_kind(more) for less, more in shorter[word])

    def merit(word: str) -> tuple[bool, bool, int, int]:
        return is_image_word(word) or is_mask_word(word), says_only_kind(word), seen[word], len(word)

    often = sorted(word for word, count in seen.items() if is_word(word, count))
    return sorted(often, key=merit, reverse=True)[:_MOST_WORDS]


def _runs(size: int) -> Iterator[tuple[int, int]]:
    """Where runs of up to `_LONGEST_WORD` of so many parts begin and end."""
    for first in range(size):
        for last in range(first + 1, min(first + _LONGEST_WORD, size) + 1):
            yield first, last


def _without(name: str, word: str, inside: bool) -> str | None:
    """A name without a word at its end, at its start or, if wanted, inside; None where it has not got it."""
    if not word:
        return name
    size = len(word)
    if name.endswith(word) and may_part(name, len(name) - size):
        return name[:-size]
    if name.startswith(word) and may_part(name, size):
        return name[size:]
    place = name.rfind(word, 1, -1) if inside else -1
    if place < 0 or not (may_part(name, place) and may_part(name, place + size)):
        return None
    return name[:place] + name[place + size :]


def _as_written(word: str, name: str) -> str:
    """A folded word as a name writes it."""
    place = fold(name).find(word)
    plain = unicodedata.normalize("NFC", name)
    return plain[place : place + len(word)] if word and len(plain) == len(fold(name)) else word
