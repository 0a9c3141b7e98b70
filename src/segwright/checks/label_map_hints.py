"""Pixel values that look like a mistake in the label map, and the map that would cure it.

A proposed map is never applied by itself. Source: SageMaker's contract, section 1.4 (`{"map": {"<class>": <value>}}`).
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright.checks.channel_statistics import ChannelStatistics, classes_of
from segwright.checks.mask_stretch import EXPORT_ANEW, find_stretch
from segwright.checks.mask_values import is_spread, label_map_location, listed_values
from segwright.errors import LabelError
from segwright.findings import Finding, Severity
from segwright.labels import HIGHEST_CLASS, IGNORE, LabelMap

Values = NDArray[np.int64]  # different pixel values of masks, ascending, [N]


class _Hint(NamedTuple):
    what: str
    condition: str  # what has to be true for the proposed map to be right
    label_map: LabelMap


def label_map_hints(
    train: ChannelStatistics, validation: ChannelStatistics, *, count_is_given: bool
) -> Iterator[Finding]:
    """What looks like a mistake in the label map of either channel; the classes need not be known. `count_is_given`
    says that the number of classes does not come from the masks.
    """
    stretches = [(channel, found) for channel in (train, validation) if (found := find_stretch(channel.scans))]
    if stretches:  # no map is right for such masks
        for channel, found in stretches:
            if channel.label_map.scale != 1:  # others are refused
                what = f"{found.sentence}, it seems, whatever the label map says."
                yield Finding("stretched_hint", "warning", channel.channel, what, f"If so: {EXPORT_ANEW}")
        return
    ours, theirs = _values(train), _values(validation)
    hint = _hint(train, ours, count_is_given)
    if hint:
        yield _finding(train, hint, ours, count_is_given)
    other = _unlike(train, ours, validation, theirs, hint.label_map if hint else train.label_map)
    if other:
        yield _finding(validation, other, theirs, count_is_given=False)
    elif not np.isin(theirs, ours).all() and (own := _hint(validation, theirs, count_is_given)):
        yield _finding(validation, own, theirs, count_is_given)


def _finding(channel: ChannelStatistics, hint: _Hint, values: Values, count_is_given: bool) -> Finding:
    classes = classes_of(values, channel.label_map)
    most_left_out = 2 * np.count_nonzero(classes < 0) >= len(classes)
    fits = count_is_given and not most_left_out and classes.max(initial=-1) < channel.num_classes
    what = f"the masks hold the values {listed_values(values)}: {hint.what}."
    cure = f"{hint.condition}, give this label map {label_map_location(channel.channel)}:"
    severity: Severity = "note" if fits else "warning"
    proposed = json.dumps(hint.label_map.to_json())
    return Finding("label_map_hint", severity, channel.channel, what, cure, label_map=proposed)


def _values(channel: ChannelStatistics) -> Values:
    """All values in the masks of a channel but no data and 255; that counts only where the label map names it."""
    return channel.numbers if channel.names_255 else channel.numbers[channel.numbers != IGNORE]


def _hint(channel: ChannelStatistics, values: Values, count_is_given: bool) -> _Hint | None:
    if not values.size:
        return None
    if channel.label_map.values is not None:
        return _unfitting_map(channel.label_map, values)
    if channel.label_map.scale != 1:
        return None
    if is_spread(channel.numbers):
        what = "with 255 they are spread over all grey values, as if 255 were a class and not what to ignore"
        return _Hint(what, "If so", _listing(channel.numbers, np.arange(len(channel.numbers))))
    fits = count_is_given and int(values[-1]) < channel.num_classes
    first, span, step = int(values[0]), int(values[-1] - values[0]) + 1, int(np.gcd.reduce(values))
    from_one = first == 1 and len(values) == span == channel.num_classes - 1
    if first > 0 and len(values) > 1 and span <= min(2 * len(values), HIGHEST_CLASS + 1) and (from_one or not fits):
        what = f"numbers that begin at {first}, it seems, while classes begin at 0"
        return _Hint(what, f"If {first} is the first class", _listing(values, values - first))
    few_gaps = step > 1 and values[-1] // step <= min(2 * (len(values) - 1), HIGHEST_CLASS)
    if first == 0 and few_gaps and not fits:
        return _Hint(f"multiples of {step}", "If they are classes times that", LabelMap(scale=step))
    return None


def _unfitting_map(label_map: LabelMap, values: Values) -> _Hint | None:
    """A label map that leaves values out which another reading of it would name."""
    left_out = label_map.unmapped(values)
    if not left_out.size:
        return None
    lacks = f"the label map does not name {listed_values(left_out)}"
    pixels, classes = (np.unique(column) for column in zip(*(label_map.values or ()), strict=True))
    if np.isin(values, classes).all():
        if np.array_equal(classes, np.arange(len(classes))):
            condition = "If the masks hold class numbers already"
            return _Hint(f"{lacks}, but they are its classes", condition, _listing(classes, classes))
        with suppress(LabelError):
            exchanged = LabelMap(values=tuple((index, pixel) for pixel, index in label_map.values or ()))
            written = '{"map": {"<class>": <pixel value>}}'
            what = f"{lacks}, but does so when read the wrong way round; it is {written}"
            return _Hint(what, "If class and pixel value were exchanged", exchanged)
    if related := _related(values, pixels):
        relation, matches = related
        what = f"{lacks}; they are {relation} what it names"
        return _Hint(what, "If so", _listing(values, classes_of(matches, label_map)))
    return None


def _unlike(
    train: ChannelStatistics, ours: Values, validation: ChannelStatistics, theirs: Values, train_map: LabelMap
) -> _Hint | None:
    """Validation masks whose numbers are those of train but for a shift or a factor."""
    if train.label_map == validation.label_map:
        related, label_map = _related(theirs, ours), train_map
    else:
        classes = classes_of(theirs, validation.label_map)
        known = np.unique(classes_of(ours, train.label_map))
        theirs, classes = theirs[classes >= 0], classes[classes >= 0]
        if len(np.unique(classes)) < len(classes):
            return None
        related, label_map = _related(classes, known[known >= 0]), LabelMap.identity()
    relation, matches = related or ("", theirs[:0])
    matched = classes_of(matches, label_map)
    if (matched < 0).all():
        return None
    return _Hint(f"they are {relation} those of train", "If that is a mistake", _listing(theirs, matched))


def _related(values: Values, reference: Values) -> tuple[str, Values] | None:
    """How values that are not among others relate to them, in words, and which of the others each then is, [N]."""
    if not values.size or not reference.size or np.isin(values, reference).all():
        return None
    if len(values) >= max(2, len(reference) / 2):
        for shift, relation in ((1, "one higher than"), (-1, "one lower than")):
            if np.isin(values - shift, reference).all():
                return relation, values - shift
    own, other = (int(np.gcd.reduce(numbers)) for numbers in (values, reference))
    if own and other and own != other:
        factor, rest = divmod(max(own, other), min(own, other))
        matches = values // factor if own > other else values * factor
        likely = len(values) > 2 or factor > 3  # 0 and 2 may be two of the classes 0, 1 and 2
        if not rest and likely and np.isin(matches, reference).all():
            return (f"{factor} times" if own > other else f"1/{factor} of"), matches
    return None


def _listing(values: Values, classes: Values) -> LabelMap:
    """A map that names each value's class; those of no class are left out."""
    named = (classes >= 0) & (classes <= HIGHEST_CLASS)
    return LabelMap(values=tuple(zip(values[named].tolist(), classes[named].tolist(), strict=True)))
