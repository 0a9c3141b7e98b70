"""Rules on the pixel values of masks: how many classes they show, and which values are no class.

Source: SageMaker's contract, sections 1.3 and 1.4.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.channel_statistics import ChannelStatistics, ScannedChannel, classes_of
from segwright.checks.scan import image_names
from segwright.errors import LabelError
from segwright.findings import Finding
from segwright.labels import HIGHEST_CLASS, IGNORE, NO_DATA, LabelMap
from segwright.wording import counted, listed

_SHOWN: Final = 3
_ENOUGH_TO_COMPARE: Final = 4  # masks
_LONGEST_SUGGESTION: Final = 32  # classes
_MOST_IN_A_MASK: Final = 64  # values of a usual mask, where the number of classes is not given
_FREQUENT: Final = 0.01  # of all pixels have a value
_NEARLY_ALL: Final = 0.85  # of all pixels have a frequent value
_FAR_MORE: Final = 3  # times as many values
_MOST_STEPS: Final = 32  # values that can be told from arbitrary ones when they are spread over 0 to 255


def class_count(num_classes: int, channel: str) -> Iterator[Finding]:
    """Numbers of classes other than 2 to 254, which leave nothing to tell apart or no room for 255."""
    if not 2 <= num_classes <= HIGHEST_CLASS + 1:
        classes = counted(num_classes, "class", "classes")
        what = f"num_classes, the class names or the label map make {classes}; there must be 2 to {HIGHEST_CLASS + 1}."
        cure = "Let several pixel values share a class in the label map."
        if num_classes < 2:
            cure = (
                "A class is learnt by telling it from another one: give the rest of the image, often called "
                f"background, a class of its own in the label map ({ready_map([0, IGNORE])}) or in the class names."
            )
        yield Finding("class_count", "error", channel, what, cure)


def label_map_range(label_map: LabelMap, num_classes: int, channel: str) -> Iterator[Finding]:
    """Label maps that lead to a class of `num_classes` or more."""
    try:
        label_map.check(num_classes)
    except LabelError as error:
        yield Finding("label_map_range", "error", channel, f"{error}")


def any_labelled(masks: ScannedChannel, *, void_is_known: bool) -> Iterator[Finding]:
    """Masks without a labelled pixel, and masks of 0 and 255 that mean background and foreground. `void_is_known` says
    that 255 does mean void: then masks of 0 and 255 lack the other classes, which is no fault.
    """
    channel, numbers = masks.channel, masks.numbers
    if not numbers.size:
        what = "every pixel of the masks is no data, by its number or its no-data tag."
        yield Finding("no_data", "error", channel, what)
    elif not masks.names_255 and not void_is_known and IGNORE in numbers and set(numbers.tolist()) <= {0, IGNORE}:
        held = "nothing but 255" if len(numbers) == 1 else "only 0 and 255"
        what = f"the masks hold {held}, and 255 means ignore: nothing would be learnt of it."
        cure = (
            f"If 255 is your second class, give the label map {ready_map([0, IGNORE])} {label_map_location(channel)}."
        )
        yield Finding("only_0_and_255", "error", channel, what, cure)
    elif (masks.classes < 0).all():
        held = f"the masks hold {listed_values(numbers)}, and by the label map {masks.label_map}."
        what, cure = f"every pixel of the masks is ignored: {held}", "Correct the label map."
        if masks.label_map.values is None:
            what, cure = "every pixel of the masks is 255, which means ignore.", "Label the images."
        yield Finding("all_ignored", "error", channel, what, cure)


def infer_num_classes(masks: ScannedChannel) -> int | Finding:
    """The number of classes that masks show: the largest plus one. Refuses what looks like brightness."""
    values, classes = masks.numbers, masks.classes[masks.values != NO_DATA]
    count, occurring = int(classes.max()) + 1, len(np.unique(classes[classes >= 0]))
    in_each = int(np.median([len(scan.values) for scan in masks.scans]))
    if count > HIGHEST_CLASS + 1 or 2 * occurring < count or in_each > _LONGEST_SUGGESTION:
        for finding in interpolated(masks):
            return finding
    if count > HIGHEST_CLASS + 1 or 2 * occurring < count or in_each > _MOST_IN_A_MASK:
        labelled = values if is_spread(values) else values[classes >= 0]
        what = (
            f"the masks hold the values {listed_values(labelled)}, which look like brightness values, not like {count} "
            f"classes.{_stray_values(masks, labelled)}"
        )
        return Finding("brightness", "error", masks.channel, what, _cure_of_brightness(masks, labelled, count))
    if count < 2:
        what = "every labelled pixel has class 0, but at least two classes are needed."
        return Finding("single_class", "error", masks.channel, what, "If the masks are right, set num_classes.")
    return count


def class_range(masks: ScannedChannel, num_classes: int) -> Iterator[Finding]:
    """Masks with a class of `num_classes` or more."""
    outside = masks.values[masks.classes >= num_classes]
    if not outside.size:
        return
    if found := list(interpolated(masks)):
        yield from found
        return
    bad = [scan for scan in masks.scans if np.isin(scan.values, outside).any()]
    shown, scaled = [], masks.label_map.scale not in (None, 1)
    for scan in bad:
        wrong = np.isin(scan.values, outside)
        values, counts = scan.values[wrong], scan.counts[wrong]
        entries = zip(values, classes_of(values, masks.label_map), counts, strict=True)
        held = [
            f"{value}{f' (class {index})' * scaled} in {counted(count, 'pixel')}" for value, index, count in entries
        ]
        shown.append(f"{scan.pair.mask.name} has {listed(held)}")
    needed = int(masks.classes.max()) + 1
    labelled = masks.numbers if is_spread(masks.numbers) else masks.numbers[masks.numbers != IGNORE]
    fitting = f" such as {ready_map(labelled)}" if len(labelled) <= num_classes else ""
    possible = f"Set num_classes to {needed} (and give as many class names, if any)"
    cure = possible if needed <= HIGHEST_CLASS + 1 else "Correct the masks"
    what = (
        f"with num_classes {num_classes} the classes are 0 to {num_classes - 1} (255 is ignored), but "
        f"{counted(len(bad), 'mask has', 'masks have')} other values: {listed(shown, _SHOWN, '; ')}."
    )
    cure = f"{cure}, or give a label map{fitting} {label_map_location(masks.channel)}."
    yield Finding("class_range", "error", masks.channel, what, cure, image_names(bad))


def unmapped_values(masks: ScannedChannel, *, strict: bool) -> Iterator[Finding]:
    """Pixel values that the label map does not name."""
    found = np.isin(masks.values, masks.label_map.unmapped(masks.values))
    if found.any():
        entries = zip(masks.values[found], masks.counts[found], strict=True)
        shown = listed([f"{value} ({counted(count, 'pixel')})" for value, count in entries], 2 * _SHOWN)
        values, them, they = ("value", "it", "it is") if found.sum() == 1 else ("values", "them", "they are")
        what = f"the label map does not name the pixel {values} {shown}" + (
            ", which strict refuses." if strict else f"; {they} ignored."
        )
        cure = f"Add {them} to the map{'' if strict else f', unless {they} to be ignored'}."
        yield Finding("unmapped_values", "error" if strict else "warning", masks.channel, what, cure)


def absent_classes(channel: ChannelStatistics, class_names: Sequence[str] = ()) -> Iterator[Finding]:
    """Classes without a labelled pixel."""
    if absent := channel.absent_classes:
        names = {index: class_names[index] if class_names else f"class {index}" for index in absent}
        named = [index if name == f"class {index}" else f"{index} ({name})" for index, name in names.items()]
        which = "class" if len(absent) == 1 else "classes"
        what = f"no pixel is labelled as {which} {listed(named, 2 * _SHOWN)} of {channel.num_classes}."
        yield Finding("absent_classes", "warning", channel.channel, what)


def interpolated(masks: ScannedChannel) -> Iterator[Finding]:
    """Masks of more values than could be classes, nearly all of them rare: those between classes."""
    if len(masks.values) > _LONGEST_SUGGESTION and (frequent := frequent_values(masks)):
        what = (
            f"the masks hold {len(masks.values)} values, but {frequent}. The others come from resizing with "
            "interpolation, from smooth edges or from lossy compression, as JPEG's, and are no classes."
        )
        cure = "Export the masks anew, resize them by nearest neighbour only, and keep them as PNG."
        yield Finding("interpolated", "error", masks.channel, what, cure)


def between_classes(masks: ScannedChannel) -> Iterator[Finding]:
    """Masks of which nearly each holds several times as many rare values as there are frequent ones."""
    if not masks.scans:
        return
    several = _FAR_MORE * np.count_nonzero(_are_frequent(masks))
    others = float(np.median([len(scan.values) for scan in masks.scans])) - several / _FAR_MORE
    if others >= several and (frequent := frequent_values(masks)):
        what = (
            f"the masks may hold values that are no classes: {frequent}, and nearly every mask has several times as "
            "many others, as resizing with interpolation and lossy compression make them."
        )
        cure = "Look at the borders of the classes; resize masks by nearest neighbour only."
        yield Finding("between_classes", "warning", masks.channel, what, cure)


def frequent_values(masks: ScannedChannel) -> str:
    """Which few values fill nearly all pixels, in words; nothing where there are none, or no more others."""
    frequent = _are_frequent(masks)
    share = masks.counts[frequent].sum() / masks.counts.sum()
    if share < _NEARLY_ALL or np.count_nonzero(~frequent) < _FAR_MORE * np.count_nonzero(frequent):
        return ""
    return f"{100 * share:.3g} % of their pixels are {listed_values(masks.values[frequent])}"


def _are_frequent(masks: ScannedChannel) -> NDArray[np.bool_]:
    return np.asarray(masks.counts >= _FREQUENT * masks.counts.sum())


def is_spread(values: NDArray[np.int64]) -> bool:
    """Whether values, [N], ascending, are spread evenly from 0 to 255, as classes drawn in grey from black to white."""
    if not 3 <= len(values) <= _MOST_STEPS or values[0] != 0 or values[-1] != IGNORE:
        return False
    return bool(np.abs(values - np.linspace(0, IGNORE, len(values))).max() <= 1)


def _stray_values(masks: ScannedChannel, labelled: NDArray[np.int64]) -> str:
    """Which masks alone hold some of the values, where these are few masks: perhaps a slip."""
    few = max(len(masks.scans) // 10, 1)
    holders = {value: [scan for scan in masks.scans if value in scan.values] for value in labelled.tolist()}
    stray = [value for value, holding in holders.items() if len(holding) <= few]
    if not stray or len(stray) == len(holders) or len(masks.scans) < _ENOUGH_TO_COMPARE:
        return ""
    example = holders[stray[-1]][0]
    count = int(example.counts[example.values == stray[-1]][0])
    return (
        f" {listed_values(np.array(stray))} {'occurs' if len(stray) == 1 else 'occur'} in few masks only, as "
        f"{stray[-1]} in {counted(count, 'pixel')} of {example.pair.mask.name}: correct those, if that is a slip."
    )


def _cure_of_brightness(masks: ScannedChannel, labelled: NDArray[np.int64], count: int) -> str:
    place = label_map_location(masks.channel)
    cure = f"Give a label map that says which value is which class, {place}"
    if len(labelled) <= _LONGEST_SUGGESTION:
        map_of_all = ready_map(labelled)
        cure = f"If each is a class, give the label map {map_of_all} {place} (what a map leaves out is ignored)"
    cure += f"; if they are class numbers, set num_classes to {count}." if count <= HIGHEST_CLASS + 1 else "."
    if IGNORE in masks.values and not masks.names_255:
        one_more = ": here it looks like one class more" if is_spread(masks.numbers) else ""
        cure += f" 255 is ignored unless the map names it{one_more}."
    if frequent := frequent_values(masks):
        cure += f" But {frequent}: if the others come from resizing, resize by nearest neighbour instead."
    return cure


def label_map_location(channel: str) -> str:
    """Where a label map for the masks of a channel goes; only training channels have a file for it."""
    is_split = channel in ("train", "validation")
    return f"as label_map/{channel}_label_map.json, or any file as label_map" if is_split else "as label_map"


def ready_map(values: Sequence[int] | NDArray[np.int64]) -> str:
    """A label map of pixel values, in the order of their classes, as JSON."""
    return json.dumps({"map": {str(index): int(value) for index, value in enumerate(values)}})


def listed_values(values: NDArray[np.int64]) -> str:
    """Pixel values, [N], as words: the first ones and the last."""
    shown = list(map(str, values))
    if len(shown) > 2 * _SHOWN:
        return f"{', '.join(shown[:_SHOWN])}, ..., {shown[-1]} ({len(shown)} in all)"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
