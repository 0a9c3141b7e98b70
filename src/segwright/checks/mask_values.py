"""What the pixel values of masks may be, and the sentences that say so.

Knows label maps, numbers of classes and the traps of masks that come from elsewhere. Refuses to know how the
values were counted. Every function either returns or raises DataError with the cure in it.

Source: SageMaker's contract, sections 1.3 and 1.4.
"""

import json
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.scan import PairScan, combine
from segwright.errors import DataError
from segwright.labels import HIGHEST_CLASS, IGNORE, NO_DATA, LabelMap
from segwright.wording import counted, listed

_SHOWN: Final = 3
_ENOUGH_TO_COMPARE: Final = 4  # masks
_LYING: Final = 5  # EXIF orientations from here on exchange width and height
_LONGEST_SUGGESTION: Final = 32  # classes
_MOST_IN_A_MASK: Final = 64  # values of a usual mask, where nobody says how many classes there are
_FREQUENT: Final = 0.01  # of all pixels have a value
_NEARLY_ALL: Final = 0.85  # of all pixels have a frequent value
_FAR_MORE: Final = 3  # times as many values
_MOST_STEPS: Final = 32  # values that can be told from arbitrary ones when they are spread over 0 to 255


def classes_of(values: NDArray[np.int64], label_map: LabelMap) -> NDArray[np.int64]:
    """The class of each pixel value, [N]; -1 for ignore. Unlike in a mask, a class may be any number here."""
    if label_map.scale is not None:
        return np.where((values == IGNORE) | (values == NO_DATA), -1, values // label_map.scale)
    classes = label_map.apply(values).astype(np.int64)
    return np.where(classes == IGNORE, -1, classes)


def check_class_count(num_classes: int, channel: str) -> None:
    """Refuse numbers of classes other than 2 to 254, which leave nothing to tell apart or no room for 255.

    Source: SageMaker's contract, section 1.3.
    """
    if 2 <= num_classes <= HIGHEST_CLASS + 1:
        return
    cure = (
        "A class is learnt by telling it from another one: give the rest of the picture, often called background, "
        f"a class of its own in the label map ({_ready_map(np.array([0, IGNORE]))}) or in the class names."
        if num_classes < 2
        else "Let several pixel values share a class in the label map."
    )
    raise DataError(
        f"{channel}: num_classes, the class names or the label map make "
        f"{counted(num_classes, 'class', 'classes')}; there must be 2 to {HIGHEST_CLASS + 1}. {cure}"
    )


def check_sizes_match(readings: Sequence[PairScan], channel: str) -> None:
    """Refuse pairs whose image and mask are not of one size."""
    bad = [reading for reading in readings if reading.image_size != reading.mask_size]
    if not bad:
        return
    shown = [
        f"{one.pair.image.name} is {_size(one.image_size)} and {one.pair.mask.name} is {_size(one.mask_size)}"
        for one in bad
    ]
    hint = "Give both the same size, or remove the pair"
    turned = [one for one in bad if one.orientation >= _LYING and one.image_size == one.mask_size[::-1]]
    if turned:
        hint = (
            f"{counted(len(turned), 'pair')} would agree after a rotation that the camera noted (EXIF orientation "
            f"{turned[0].orientation} in {turned[0].pair.image.name}): add --apply-exif-orientation, "
            "or turn the pixels themselves"
        )
    elif any(one.image_size == one.mask_size[::-1] for one in bad):
        hint += ". Width and height are exchanged: one of the two was turned by 90 degrees"
    raise DataError(
        f"{channel}: image and mask differ in size in {counted(len(bad), 'pair')}: {listed(shown, separator='; ')}. "
        f"{hint}."
    )


def check_any_labelled(
    values: NDArray[np.int64], label_map: LabelMap, channel: str, *, void_is_known: bool = False
) -> None:
    """Refuse masks of 0 and 255 that mean background and foreground, and masks without a labelled pixel.

    `void_is_known` says that 255 does mean void: then masks of 0 and 255 lack the other classes, which is no fault.
    """
    numbers = values[values != NO_DATA]
    if not numbers.size:
        raise DataError(f"{channel}: every pixel of the masks is no data, by its number or its no-data tag.")
    names_255 = label_map.values is not None and any(pixel == IGNORE for pixel, _ in label_map.values)
    if not names_255 and not void_is_known and IGNORE in numbers and set(numbers.tolist()) <= {0, IGNORE}:
        what = "nothing but 255" if len(numbers) == 1 else "only 0 and 255"
        raise DataError(
            f"{channel}: the masks hold {what}, and 255 means ignore: nothing would be learnt of it. "
            f"If 255 is your second class, give the label map {_ready_map(np.array([0, IGNORE]))} "
            f"{label_map_place(channel)}."
        )
    if (classes_of(values, label_map) < 0).all():
        raise DataError(
            f"{channel}: every pixel of the masks is ignored. They hold the values {listed_values(numbers)}, which "
            f"the label map {json.dumps(label_map.to_json())} does not name: correct the label map."
        )


def infer_num_classes(
    readings: Sequence[PairScan], values: NDArray[np.int64], label_map: LabelMap, channel: str
) -> int:
    """The number of classes that masks show: the largest plus one. Refuses what looks like brightness."""
    values = values[values != NO_DATA]
    classes = classes_of(values, label_map)
    count, occurring = int(classes.max()) + 1, len(np.unique(classes[classes >= 0]))
    in_each = int(np.median([len(reading.values) for reading in readings]))
    if in_each > _LONGEST_SUGGESTION:
        _check_interpolated(readings, channel)
    if count > HIGHEST_CLASS + 1 or 2 * occurring < count or in_each > _MOST_IN_A_MASK:
        labelled = values if is_spread(values) else values[classes >= 0]
        _check_interpolated(readings, channel)
        raise DataError(
            f"{channel}: the masks hold the values {listed_values(labelled)}, which look like brightness values, "
            f"not like {count} classes.{_stray_values(readings, labelled)} {_suggest_map(labelled, channel)}"
            f"{_or_count(count)}{_of_255(values, label_map)}{_or_interpolated(readings)}"
        )
    if count < 2:
        raise DataError(
            f"{channel}: every labelled pixel has class 0, but at least two classes are needed. If the masks "
            "are right, say how many classes there are with --num-classes."
        )
    return count


def check_class_range(
    readings: Sequence[PairScan],
    values: NDArray[np.int64],
    label_map: LabelMap,
    num_classes: int,
    channel: str,
) -> None:
    """Refuse masks with a class of `num_classes` or more, naming files, values and pixels."""
    outside = values[classes_of(values, label_map) >= num_classes]
    if not outside.size:
        return
    _check_interpolated(readings, channel)
    bad = [reading for reading in readings if np.isin(reading.values, outside).any()]
    shown = listed([_describe(reading, outside, label_map) for reading in bad], separator="; ")
    needed = int(classes_of(outside, label_map).max()) + 1
    numbers = values[values != NO_DATA]
    labelled = numbers if is_spread(numbers) else numbers[numbers != IGNORE]
    more_classes = f"Set num_classes to {needed} (and give as many class names, if any)"
    cure = more_classes if needed <= HIGHEST_CLASS + 1 else "Correct the masks"
    fitting = f" such as {_ready_map(labelled)}" if len(labelled) <= num_classes else ""
    raise DataError(
        f"{channel}: with num_classes {num_classes} the classes are 0 to {num_classes - 1} (255 is ignored), "
        f"but {counted(len(bad), 'mask has', 'masks have')} other values: {shown}. "
        f"{cure}, or give a label map{fitting} {label_map_place(channel)}."
    )


def is_spread(values: NDArray[np.int64]) -> bool:
    """Whether values, [N], ascending, are spread evenly from 0 to 255, as classes drawn in grey from black to white."""
    if not 3 <= len(values) <= _MOST_STEPS or values[0] != 0 or values[-1] != IGNORE:
        return False
    return bool(np.abs(values - np.linspace(0, IGNORE, len(values))).max() <= 1)


def unmapped_sentence(unmapped: dict[int, int], channel: str) -> str:
    """Which pixel values a label map does not name, with their numbers of pixels."""
    shown = listed([f"{value} ({count:,} pixels)" for value, count in unmapped.items()], 2 * _SHOWN)
    return f"{channel}: the label map does not name the pixel values {shown}"


def _describe(reading: PairScan, outside: NDArray[np.int64], label_map: LabelMap) -> str:
    """One mask and its values that are outside the classes."""
    wrong = np.isin(reading.values, outside)
    values, counts = reading.values[wrong], reading.counts[wrong]
    scaled = label_map.scale not in (None, 1)
    classes = classes_of(values, label_map)
    named = [
        f"{value}{f' (class {index})' if scaled else ''} in {count:,} pixels"
        for value, index, count in zip(values, classes, counts, strict=True)
    ]
    return f"{reading.pair.mask.name} has {listed(named)}"


def _suggest_map(labelled: NDArray[np.int64], channel: str) -> str:
    if len(labelled) > _LONGEST_SUGGESTION:
        return f"Give a label map that says which value is which class, {label_map_place(channel)}"
    return (
        f"If each is a class, give the label map {_ready_map(labelled)} {label_map_place(channel)} (what a map leaves "
        "out is ignored)"
    )


def between_classes(readings: Sequence[PairScan]) -> str:
    """Which few values fill nearly all pixels, in words, where nearly every mask has several times as many others."""
    if not readings:
        return ""
    frequent = np.count_nonzero(_are_frequent(combine(readings)[1]))
    others = float(np.median([len(reading.values) for reading in readings])) - frequent
    return _frequent_values(readings) if others >= _FAR_MORE * frequent else ""


def _check_interpolated(readings: Sequence[PairScan], channel: str) -> None:
    """Refuse masks of more values than could be classes, nearly all of them rare: those between classes."""
    values = combine(readings)[0]
    if len(values) > _LONGEST_SUGGESTION and (frequent := _frequent_values(readings)):
        raise DataError(
            f"{channel}: the masks hold {len(values)} values, but {frequent}. The others come from resizing with "
            "interpolation, from smooth edges or from lossy compression, as JPEG's, and are no classes: export the "
            "masks anew, resize them by nearest neighbour only, and keep them as PNG."
        )


def _or_interpolated(readings: Sequence[PairScan]) -> str:
    frequent = _frequent_values(readings)
    return (
        f" But {frequent}: if the others come from resizing, resize by nearest neighbour instead." if frequent else ""
    )


def _frequent_values(readings: Sequence[PairScan]) -> str:
    """Which few values fill nearly all pixels, in words; nothing where there are none, or no more others."""
    values, counts = combine(readings)
    frequent = _are_frequent(counts)
    share = counts[frequent].sum() / counts.sum()
    if share < _NEARLY_ALL or np.count_nonzero(~frequent) < _FAR_MORE * np.count_nonzero(frequent):
        return ""
    return f"{100 * share:.3g} % of their pixels are {listed_values(values[frequent])}"


def _are_frequent(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(counts >= _FREQUENT * counts.sum())


def _stray_values(readings: Sequence[PairScan], labelled: NDArray[np.int64]) -> str:
    """Which masks alone hold some of the values, where these are few masks: somebody's slip, perhaps."""
    few = max(len(readings) // 10, 1)
    holders = {value: [one for one in readings if value in one.values] for value in labelled.tolist()}
    stray = [value for value, holding in holders.items() if len(holding) <= few]
    if not stray or len(stray) == len(holders) or len(readings) < _ENOUGH_TO_COMPARE:
        return ""
    example = holders[stray[-1]][0]
    count = int(example.counts[example.values == stray[-1]][0])
    return (
        f" {listed_values(np.array(stray))} {'occurs' if len(stray) == 1 else 'occur'} in few masks only, as "
        f"{stray[-1]} in {count:,} pixels of {example.pair.mask.name}: correct those, if that is a slip."
    )


def _of_255(values: NDArray[np.int64], label_map: LabelMap) -> str:
    if is_spread(values):
        return " 255 is ignored unless the map names it: here it looks like one class more."
    named = label_map.values is not None and any(pixel == IGNORE for pixel, _ in label_map.values)
    return " 255 is ignored unless the map names it." if IGNORE in values and not named else ""


def _or_count(count: int) -> str:
    return f"; if they are class numbers, add --num-classes {count}." if count <= HIGHEST_CLASS + 1 else "."


def label_map_place(channel: str) -> str:
    """Where a label map for the masks of a channel goes; only training channels have a folder for it."""
    file = f"as label_map/{channel}_label_map.json or " if channel in ("train", "validation") else ""
    return f"{file}with --label-map FILE"


def _ready_map(labelled: NDArray[np.int64]) -> str:
    return json.dumps({"map": {str(index): int(value) for index, value in enumerate(labelled)}})


def listed_values(values: NDArray[np.int64]) -> str:
    """Pixel values, [N], as words: the first ones and the last."""
    listed = [str(value) for value in values]
    if len(listed) > 2 * _SHOWN:
        return f"{', '.join(listed[:_SHOWN])}, ..., {listed[-1]} ({len(listed)} in all)"
    return " and ".join((", ".join(listed[:-1]), listed[-1])) if len(listed) > 1 else listed[0]


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
