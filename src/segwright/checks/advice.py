"""What is remarkable about data that can be read: copies, classes, numbers and sizes; warnings and notes alone."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.channel_statistics import ChannelStatistics
from segwright.checks.mask_values import between_classes
from segwright.checks.scan import PairScan, image_names
from segwright.findings import Finding, Severity
from segwright.hyperparameters import Hyperparameters
from segwright.wording import counted, listed

_FEW_TRAIN: Final = 20  # pairs
_FEW_VALIDATION: Final = 10
_SEEN_ENOUGH: Final = 3  # images that show a class
_NO_CHANCE: Final = 3  # different images with one and the same mask
_SCALES: Final = 16  # of scale_range that are looked at
_PADDED: Final = 0.25  # of a crop's area, on average
_SHRUNK: Final = 3.0  # times
_ENLARGED: Final = 2.0
_VARIED: Final = 4.0  # the largest long side over the smallest
_ELONGATED: Final = 3.0  # the same of width over height
_UNLIKE: Final = 2.0  # train's long side over validation's, or the reverse


def advise(
    train: ChannelStatistics,
    *others: ChannelStatistics,
    class_names: Sequence[str],
    settings: Hyperparameters,
) -> Iterator[Finding]:
    """All that is remarkable whatever the label maps mean, in train and in `others`: validation and perhaps test."""
    for other in others:
        yield from _in_both(train, other)
        yield from _not_in_train(train, other, class_names)
    for channel in (train, *others):
        yield from _copies(channel)
        yield from _suspicious_masks(channel)
        yield from between_classes(channel)
    yield from _seldom_or_rare(train, class_names)
    for channel, enough, why in (
        (train, _FEW_TRAIN, "a network learns little from so few"),
        *((other, _FEW_VALIDATION, "scores on so few say little") for other in others),
    ):
        if 0 < len(channel.scans) < enough:
            what = f"there are only {counted(len(channel.scans), 'pair')}: {why}."
            yield Finding("few_pairs", "note", channel.channel, what, "Add images.")
    if train.scans:
        if crop_is_given(settings):
            yield from _crops(train, settings)
        if settings.image_scale is None:
            yield from _scaling(train, settings.base_size)
        yield from _varied_sizes(train, settings)
        for other in filter(lambda channel: channel.scans, others):
            yield from _other_size(train, other)


def crop_is_given(settings: Hyperparameters) -> bool:
    """Whether crop_size stays as it is; in the recipe best, rules choose one that fits where none is given."""
    return settings.recipe != "best" or "crop_size" in settings.model_fields_set


def _in_both(train: ChannelStatistics, other: ChannelStatistics) -> Iterator[Finding]:
    known = {scan.image_digest: scan for scan in train.scans}
    both = [scan for scan in other.scans if scan.image_digest in known]
    if not both:
        return
    which = f"every image of {other.channel} is a training image as well, byte for byte"
    if len(both) < len(other.scans):
        example = f"{both[0].pair.image.name} is {known[both[0].image_digest].pair.image.name}"
        number = f"{len(both)} of {len(other.scans)} images {'is' if len(both) == 1 else 'are'}"
        which = f"{number} in train as well, byte for byte ({example})"
    what = f"{which}, so scores say too little about new images."
    yield Finding("in_both", "warning", other.channel, what, "Keep each image in one of the two.", image_names(both))


def _not_in_train(train: ChannelStatistics, other: ChannelStatistics, class_names: Sequence[str]) -> Iterator[Finding]:
    lacking = (other.histogram > 0) & (train.histogram == 0)
    if train.scans and lacking.any():
        what = (
            f"{_named(lacking, class_names)} in masks of {other.channel}, but in none of train: that cannot be learnt."
        )
        cure = "Move some of these images to train, or leave the class out."
        files = other.names(np.any(other.by_class[:, lacking], 1))
        yield Finding("not_in_train", "warning", other.channel, what, cure, files)


def _copies(channel: ChannelStatistics) -> Iterator[Finding]:
    """Images that are there more than once: with different masks, or with masks that hold the same pixels."""
    groups: defaultdict[bytes, list[PairScan]] = defaultdict(list)
    for scan in channel.scans:
        groups[scan.image_digest].append(scan)
    cases: tuple[tuple[str, Severity, str, str], ...] = (
        ("masks_disagree", "warning", "has different masks", "Keep the mask that is right."),
        ("copies", "note", "is there more than once", "Remove the copies, unless they are to count for more."),
    )
    found: dict[str, list[list[PairScan]]] = {"masks_disagree": [], "copies": []}
    for group in groups.values():
        if len(group) > 1:
            held = {(scan.values.tobytes(), scan.counts.tobytes()) for scan in group}
            found["copies" if len(held) == 1 else "masks_disagree"].append(group)
    for rule, severity, what, cure in cases:
        if found[rule]:
            names = image_names(scan for group in found[rule] for scan in group)
            more = f", and {counted(len(found[rule]) - 1, 'more image')}" if len(found[rule]) > 1 else ""
            what = f"the same image {what}: {names[0]} and {names[1]}{more}."
            yield Finding(rule, severity, channel.channel, what, cure, names)


def _suspicious_masks(channel: ChannelStatistics) -> Iterator[Finding]:
    """Different images with one and the same mask of several values, masks without labels, and masks of one class."""
    masks, images = ({getattr(scan, kind) for scan in channel.scans} for kind in ("mask_digest", "image_digest"))
    if len(masks) == 1 and len(images) >= _NO_CHANCE and len(channel.scans[0].values) > 1:
        what = f"all {len(channel.scans)} masks are the same, byte for byte, though the images differ."
        cure = "Check that each image has the mask that is its own."
        yield Finding("one_mask_for_all", "warning", channel.channel, what, cure, image_names(channel.scans))
    empty = channel.pixels[:, channel.num_classes] == channel.pixels.sum(1)
    if empty.any():
        masks_have = f"{counted(int(empty.sum()), 'mask')} of {len(empty)} {'has' if empty.sum() == 1 else 'have'}"
        cure = "Label these images, or remove them: they only cost time."
        what = f"{masks_have} no labelled pixel: all of it is ignored."
        yield Finding("unlabelled", "warning", channel.channel, what, cure, channel.names(empty))
    shown = (channel.by_class > 0).sum(1)
    if len(shown) > 1 and (shown == 1).all() and (channel.histogram > 0).sum() > 1:
        what = "each mask holds a single class, as if whole images were classified."
        cure = "Where classes never meet in an image, a network learns nothing of their borders."
        yield Finding("of_one_class", "note", channel.channel, what, cure)


def _seldom_or_rare(train: ChannelStatistics, class_names: Sequence[str]) -> Iterator[Finding]:
    """Classes in few images, or of few pixels: a note, as a training advises so itself if its settings do not help."""
    seldom = (train.images_with_class > 0) & (train.images_with_class < _SEEN_ENOUGH)
    if len(train.scans) >= _FEW_TRAIN and seldom.any():
        files = train.names(np.any(train.by_class[:, seldom], 1))
        what = f"{_named(seldom, class_names)} in only {counted(len(files), 'image')} of {len(train.scans)}."
        yield Finding("seldom_seen", "warning", train.channel, what, "Add images that show it.", files)
    rare = train.rare_classes
    if rare.any():
        shares = 100 * np.sort(train.histogram[rare]) / train.histogram.sum()
        ends = " to ".join(f"{share:.2g} %" for share in np.unique(shares[[0, -1]]))
        what = f"few pixels are labelled {_named(rare, class_names, verb=False)}: {ends} of them."
        yield Finding("rare", "note", train.channel, what, "class_weights auto makes them count for more.")


def _crops(train: ChannelStatistics, settings: Hyperparameters) -> Iterator[Finding]:
    """Crops that are mostly padding."""
    crop_size, long_sides = settings.training_crop_size, [settings.long_side(*size) for size in train.sizes.tolist()]
    scaled = train.sizes / train.sizes.max(1, keepdims=True) * np.array(long_sides)[:, None]  # [N, 2]
    scales = np.linspace(*settings.scale_range, _SCALES)
    inside = np.minimum(scaled[:, None] * scales[:, None], crop_size) / crop_size  # [N, scales, 2]
    padded = 1 - float(inside.prod(2).mean())
    if padded > _PADDED:
        height, width = np.median(scaled, 0)
        sized = "base_size" if settings.image_scale is None else "image_scale"
        what = (
            f"on average {100 * padded:.0f} % of a training crop lies beside its image: crop_size is {crop_size}, and "
            f"at {sized} {getattr(settings, sized):g} a typical image is {width:.0f}x{height:.0f} pixels."
        )
        larger = ", or a larger base_size" if settings.image_scale is None else ""
        cure = f"Try crop_size {max(int(min(height, width)) // 8 * 8, 24)}{larger}."
        yield Finding("padded_crops", "warning", train.channel, what, cure)


def _scaling(train: ChannelStatistics, base_size: int) -> Iterator[Finding]:
    """Images that lose or gain much where all get one longer side."""
    height, width = np.median(train.sizes, 0)
    long_side = max(height, width)
    shrunk, enlarged = long_side / base_size, base_size / long_side
    size = f"a typical image is {width:.0f}x{height:.0f} pixels; at base_size {base_size} it is"
    if shrunk >= _SHRUNK:
        what = f"{size} shrunk about {shrunk:.1f} times: what is thinner than some {2 * shrunk:.0f} pixels is lost."
        cure = f"Where such things matter, raise base_size towards {long_side:.0f}, or cut the images into tiles."
        yield Finding("shrunk", "warning", train.channel, what, cure)
    if enlarged >= _ENLARGED:
        what = f"{size} enlarged about {enlarged:.1f} times: that costs time and shows nothing new."
        yield Finding("enlarged", "note", train.channel, what, f"Try base_size {long_side:.0f}.")


def _varied_sizes(train: ChannelStatistics, settings: Hyperparameters) -> Iterator[Finding]:
    """Training images unlike each other in size or shape."""
    scaled = "All are brought to one longer side" if settings.image_scale is None else "They stay so different"
    long_sides, aspects = train.sizes.max(1).astype(float), train.sizes[:, 1] / train.sizes[:, 0]
    for kind, measure, limit, cure in (
        ("size", long_sides, _VARIED, f"{scaled}: sort out what does not belong together."),
        ("shape", aspects, _ELONGATED, "Long images fill a square crop badly: cut them, where that is possible."),
    ):
        if measure.max() >= limit * measure.min():
            ends = [train.scans[int(index)] for index in (measure.argmin(), measure.argmax())]
            sizes = " and ".join(f"{scan.image_size[1]}x{scan.image_size[0]}" for scan in ends)
            what = f"the images are of very different {kind}: {sizes}."
            yield Finding(f"varied_{kind}", "note", train.channel, what, cure, image_names(ends))


def _other_size(train: ChannelStatistics, other: ChannelStatistics) -> Iterator[Finding]:
    ours, theirs = (np.median(channel.sizes, 0) for channel in (train, other))
    if not 1 / _UNLIKE < ours.max() / theirs.max() < _UNLIKE:
        what = f"typical images are {theirs[1]:.0f}x{theirs[0]:.0f} pixels, and {ours[1]:.0f}x{ours[0]:.0f} in train."
        cure = f"Scores count most where {other.channel} is like what the model will see later."
        yield Finding("other_size", "note", other.channel, what, cure)


def _named(chosen: NDArray[np.bool_], class_names: Sequence[str], *, verb: bool = True) -> str:
    """Some classes by their names, with `is` or `are`; `chosen` is [C]."""
    names = listed([class_names[index] for index in np.flatnonzero(chosen).tolist()], 8)
    return names + (" is" if chosen.sum() == 1 else " are") * verb
