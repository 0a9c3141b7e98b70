"""What is remarkable about data that can be read: copies, classes and numbers, and sizes from `proportions`.

Knows both channels as the data check has them in memory. Refuses to open a file, so that all of this costs next to
nothing at the start of every training. Everything here is an opinion: nothing is refused.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.findings import ChannelStatistics, image_names
from segwright.checks.image_sizes import proportions
from segwright.checks.label_map_hints import suspicions
from segwright.checks.mask_values import between_classes
from segwright.checks.scan import PairScan
from segwright.findings import Finding, Severity, gravest_first
from segwright.wording import counted, listed

RARE: Final = 0.2
"""A class with less than this part of an even share of the pixels is easily never predicted."""

_FEW_TRAIN: Final = 20  # pairs
_FEW_VALIDATION: Final = 10
_SEEN_ENOUGH: Final = 3  # pictures that show a class
_NO_CHANCE: Final = 3  # different images with one and the same mask


def quick_findings(
    train: ChannelStatistics,
    validation: ChannelStatistics,
    class_names: Sequence[str],
    *,
    declared: bool,
    base_size: int,
    crop_size: int,
) -> list[Finding]:
    """All that can be said without opening a file, the gravest first.

    `declared` says that somebody gave the number of classes, so that it is not merely what the masks show. `base_size`
    and `crop_size` are those of the training, in pixels. Where a channel was not read, nothing is said of it.
    """
    remarked = remarks(train, validation, class_names, base_size=base_size, crop_size=crop_size)
    return gravest_first([*suspicions(train, validation, declared=declared), *remarked])


def remarks(
    train: ChannelStatistics,
    validation: ChannelStatistics,
    class_names: Sequence[str],
    *,
    base_size: int,
    crop_size: int,
) -> Iterator[Finding]:
    """What is remarkable whatever the label maps mean; the arguments are those of `quick_findings`."""
    yield from _in_both(train, validation)
    yield from _unlearnt(train, validation, class_names)
    for channel in (train, validation):
        yield from _copies(channel)
        yield from _one_mask_for_all(channel)
        yield from _unlabelled(channel)
        yield from _of_one_class(channel)
        yield from _between_classes(channel)
    yield from _seldom_seen(train, class_names)
    yield from _rare(train, class_names)
    yield from _few(train, _FEW_TRAIN, "a network learns little of so few")
    yield from _few(validation, _FEW_VALIDATION, "scores on so few say little")
    yield from proportions(train, validation, base_size, crop_size)


def absent_classes(
    train: ChannelStatistics, validation: ChannelStatistics, class_names: Sequence[str]
) -> Iterator[Finding]:
    """Classes without a pixel in train and validation, or in validation: the data check warns of them by itself."""
    if not (train.readings and validation.readings):
        return
    nowhere = (train.histogram == 0) & (validation.histogram == 0)
    if nowhere.any():
        yield Finding(
            "warning",
            "labels",
            f"no pixel of train or validation is labelled {_named(nowhere, class_names)}.",
            "Correct the label map, the class names or num_classes, unless such masks are still to come.",
        )
    unscored = (train.histogram > 0) & (validation.histogram == 0)
    if unscored.any():
        yield Finding(
            "note",
            validation.channel,
            f"no pixel is labelled {_named(unscored, class_names)}, so that it gets no score.",
            "Move some pictures that show it to validation.",
        )


def _in_both(train: ChannelStatistics, validation: ChannelStatistics) -> Iterator[Finding]:
    known = {reading.image_digest: reading for reading in train.readings}
    both = [reading for reading in validation.readings if reading.image_digest in known]
    if not both:
        return
    if len(both) == len(validation.readings):
        which = "every image of validation is a training image as well, byte for byte"
    else:
        twin = known[both[0].image_digest].pair.image.name
        which = (
            f"{len(both)} of {len(validation.readings)} images {'is' if len(both) == 1 else 'are'} in train as well, "
            f"byte for byte ({both[0].pair.image.name} is {twin})"
        )
    yield Finding(
        "warning",
        validation.channel,
        f"{which}, so scores say too little about new pictures.",
        "Keep each picture in one of the two.",
        image_names(both),
        len(both),
    )


def _copies(channel: ChannelStatistics) -> Iterator[Finding]:
    groups: defaultdict[bytes, list[PairScan]] = defaultdict(list)
    for reading in channel.readings:
        groups[reading.image_digest].append(reading)
    alike: list[list[PairScan]] = []
    unlike: list[list[PairScan]] = []
    for group in groups.values():
        if len(group) > 1:
            same = all(_same_counts(group[0], other) for other in group[1:])
            (alike if same else unlike).append(group)
    yield from _told_copies(
        channel,
        unlike,
        "warning",
        "the same image has different masks",
        "Keep the mask that is right: a network cannot learn both.",
    )
    yield from _told_copies(
        channel,
        alike,
        "note",
        "the same image is there more than once",
        "Remove the copies, unless these pictures are to count for more.",
    )


def _told_copies(
    channel: ChannelStatistics, groups: Sequence[list[PairScan]], severity: Severity, what: str, cure: str
) -> Iterator[Finding]:
    if not groups:
        return
    one, other = image_names(groups[0])[:2]
    yield Finding(
        severity,
        channel.channel,
        f"{what}: {one} and {other}" + (f", and {counted(len(groups) - 1, 'more image')}." if len(groups) > 1 else "."),
        cure,
        image_names(reading for group in groups for reading in group),
        sum(map(len, groups)),
    )


def _one_mask_for_all(channel: ChannelStatistics) -> Iterator[Finding]:
    """Masks with more than one value that are one file, while the images are different ones."""
    masks = {reading.mask_digest for reading in channel.readings}
    images = {reading.image_digest for reading in channel.readings}
    if len(masks) == 1 and len(images) >= _NO_CHANCE and len(channel.readings[0].values) > 1:
        yield Finding(
            "warning",
            channel.channel,
            f"all {len(channel.readings)} masks are the same, byte for byte, though the images differ.",
            "Look whether each image got the mask that is its own.",
            image_names(channel.readings),
            len(channel.readings),
        )


def _same_counts(one: PairScan, other: PairScan) -> bool:
    return np.array_equal(one.values, other.values) and np.array_equal(one.counts, other.counts)


def _unlearnt(train: ChannelStatistics, validation: ChannelStatistics, class_names: Sequence[str]) -> Iterator[Finding]:
    if not len(train.readings):
        return
    lacking = (validation.histogram > 0) & (train.histogram == 0)
    if not lacking.any():
        return
    shown = np.any(validation.by_class[:, lacking] > 0, 1)
    yield Finding(
        "warning",
        validation.channel,
        f"{_named(lacking, class_names)} {_is_are(lacking)} in masks of validation, but in none of train: that cannot "
        "be learnt.",
        "Move some of these pictures to train, or leave the class out.",
        validation.names(shown),
        int(shown.sum()),
    )


def _unlabelled(channel: ChannelStatistics) -> Iterator[Finding]:
    empty = channel.pixels[:, channel.num_classes] == channel.pixels.sum(1)
    if not empty.any():
        return
    count = int(empty.sum())
    yield Finding(
        "warning",
        channel.channel,
        f"{counted(count, 'mask')} of {len(empty)} {'has' if count == 1 else 'have'} no labelled pixel: all of it is "
        "ignored.",
        "Label these pictures, or remove them: they only cost time.",
        channel.names(empty),
        count,
    )


def _of_one_class(channel: ChannelStatistics) -> Iterator[Finding]:
    shown = (channel.by_class > 0).sum(1)
    if len(shown) > 1 and (shown == 1).all() and (channel.histogram > 0).sum() > 1:
        yield Finding(
            "note",
            channel.channel,
            "each mask holds a single class, as if whole pictures were classified.",
            "Where classes never meet in a picture, a network learns nothing of their borders.",
        )


def _between_classes(examined: ChannelStatistics) -> Iterator[Finding]:
    if frequent := between_classes(examined.readings):
        yield Finding(
            "warning",
            examined.channel,
            f"the masks may hold values that are no classes: {frequent}, and nearly every mask has several times as "
            "many others, as resizing with interpolation and lossy compression make them.",
            "Look at the borders of the classes; resize masks by nearest neighbour only.",
        )


def _seldom_seen(train: ChannelStatistics, class_names: Sequence[str]) -> Iterator[Finding]:
    if len(train.readings) < _FEW_TRAIN:
        return
    seldom = (train.pictures > 0) & (train.pictures < _SEEN_ENOUGH)
    if seldom.any():
        shown = np.any(train.by_class[:, seldom] > 0, 1)
        yield Finding(
            "warning",
            train.channel,
            f"{_named(seldom, class_names)} {_is_are(seldom)} in only {counted(int(shown.sum()), 'picture')} of "
            f"{len(train.readings)}.",
            "Add pictures that show it, or expect it to be missed.",
            train.names(shown),
            int(shown.sum()),
        )


def _rare(train: ChannelStatistics, class_names: Sequence[str]) -> Iterator[Finding]:
    """A note, because a training gives this advice by itself when its settings do not help."""
    total = int(train.histogram.sum())
    rare = (train.histogram > 0) & (train.histogram * train.num_classes < RARE * total)
    if rare.any():
        shares = 100 * train.histogram[rare] / total
        yield Finding(
            "note",
            train.channel,
            f"few pixels are labelled {_named(rare, class_names)}: "
            f"{' to '.join(f'{share:.2g} %' for share in sorted({float(shares.min()), float(shares.max())}))} of them.",
            "--class-weights auto makes them count for more.",
        )


def _few(channel: ChannelStatistics, enough: int, reason: str) -> Iterator[Finding]:
    count = len(channel.readings)
    if 0 < count < enough:
        yield Finding("note", channel.channel, f"there are only {counted(count, 'pair')}: {reason}.", "Add pictures.")


def _named(chosen: NDArray[np.bool_], class_names: Sequence[str]) -> str:
    """Some classes by their names; `chosen` is [C]."""
    return listed([class_names[index] for index in np.flatnonzero(chosen).tolist()], 8)


def _is_are(chosen: NDArray[np.bool_]) -> str:
    return "is" if chosen.sum() == 1 else "are"
