"""Masks whose pixel values look like a mistake in the label map, and the map that would mend it.

Knows the usual mistakes: numbers that begin at 1, numbers spread over the grey values, a map written the wrong way
round, a map that was not needed, validation numbered in another way than train. Refuses to be sure: a proposal is
told and never applied.

Source: SageMaker's contract, section 1.4 (`{"map": {"<class>": <pixel value>}}`).
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright.checks.findings import ChannelStatistics
from segwright.checks.mask_stretch import EXPORT_ANEW, Stretch, find_stretch
from segwright.checks.mask_values import classes_of, is_spread, label_map_place, listed_values
from segwright.checks.scan import combine
from segwright.errors import LabelError
from segwright.findings import Finding, Severity
from segwright.labels import HIGHEST_CLASS, IGNORE, NO_DATA, LabelMap

Values = NDArray[np.int64]
"""Different pixel values of masks, ascending, [N]."""


class _Suspicion(NamedTuple):
    what: str
    how: str
    """What has to be true for the proposal to be right."""
    proposal: LabelMap


def suspicions(train: ChannelStatistics, validation: ChannelStatistics, *, declared: bool) -> Iterator[Finding]:
    """What looks like a mistake in the label map of either channel, with a map that would mend it.

    `declared` says that somebody gave the number of classes. It is enough that pixel values were counted: the classes
    need not be known.
    """
    stretched = [(channel, found) for channel in (train, validation) if (found := find_stretch(channel.readings))]
    if stretched:  # no map is right for such masks
        yield from (_stretched(*one) for one in stretched if one[0].label_map.scale != 1)  # others are refused
        return
    ours, theirs = _values(train), _values(validation)
    suspicion = _suspicion(train, ours, declared)
    if suspicion:
        yield _finding(train, suspicion, ours, declared)
    other = _unlike(validation, theirs, train, ours, suspicion.proposal if suspicion else train.label_map)
    if other:
        yield _finding(validation, other, theirs, declared=False)
    elif not np.isin(theirs, ours).all() and (own := _suspicion(validation, theirs, declared)):
        yield _finding(validation, own, theirs, declared)


def _stretched(channel: ChannelStatistics, found: Stretch) -> Finding:
    return Finding(
        "warning",
        channel.channel,
        f"{found.sentence}, it seems, whatever the label map says.",
        f"If so: {EXPORT_ANEW}",
    )


def _finding(channel: ChannelStatistics, found: _Suspicion, values: Values, declared: bool) -> Finding:
    classes = classes_of(values, channel.label_map)
    most_left_out = 2 * np.count_nonzero(classes < 0) >= len(classes)
    fits = declared and not most_left_out and classes.max(initial=-1) < channel.num_classes
    severity: Severity = "note" if fits else "warning"
    return Finding(
        severity,
        channel.channel,
        f"the masks hold the values {listed_values(values)}: {found.what}.",
        f"{found.how}, give this label map {label_map_place(channel.channel)}:",
        label_map=json.dumps(found.proposal.to_json()),
    )


def _values(channel: ChannelStatistics) -> Values:
    """All values in the masks of a channel but 255, [N]; that counts only where the label map names it."""
    if not channel.readings:
        return np.zeros(0, np.int64)
    values = _numbers(channel)
    return values if IGNORE in _named(channel.label_map) else values[values != IGNORE]


def _numbers(channel: ChannelStatistics) -> Values:
    """All values in the masks of a channel, 255 included but no data."""
    values = combine(channel.readings)[0]
    return np.asarray(values[values != NO_DATA], np.int64)


def _named(label_map: LabelMap) -> Values:
    """The pixel values that a map lists, [N]; none for a scale."""
    return np.array([pixel for pixel, _ in label_map.values or ()], np.int64)


def _suspicion(channel: ChannelStatistics, values: Values, declared: bool) -> _Suspicion | None:
    """What is suspicious in one channel by itself."""
    if not values.size:
        return None
    if channel.label_map.values is not None:
        return _unfitting_map(channel.label_map, values)
    if channel.label_map.scale != 1:
        return None
    if spread := _spread(_numbers(channel)):
        return spread
    fits = declared and values[-1] < channel.num_classes
    return _from_one(values, fits, channel.num_classes) or (None if fits else _multiples(values))


def _spread(values: Values) -> _Suspicion | None:
    """Classes drawn as grey values from black to white, 255 among them."""
    if not is_spread(values):
        return None
    return _Suspicion(
        "with 255 they are spread over all grey values, as if 255 were a class and not what to ignore",
        "If so",
        _listing(values, np.arange(len(values))),
    )


def _from_one(values: Values, fits: bool, num_classes: int) -> _Suspicion | None:
    """Numbers that begin at 1, or later, and have few gaps."""
    first, span = int(values[0]), int(values[-1] - values[0]) + 1
    if first == 0 or len(values) < 2 or not span <= min(2 * len(values), HIGHEST_CLASS + 1):
        return None
    if fits and not (first == 1 and len(values) == span == num_classes - 1):
        return None
    return _Suspicion(
        f"numbers that begin at {first}, it seems, while classes begin at 0",
        f"If {first} is the first class",
        _listing(values, values - first),
    )


def _multiples(values: Values) -> _Suspicion | None:
    """Multiples of one number, 0 among them and few left out."""
    step = int(np.gcd.reduce(values))
    if step < 2 or values[0] != 0:
        return None
    if values[-1] // step > min(2 * (len(values) - 1), HIGHEST_CLASS):
        return None
    return _Suspicion(f"multiples of {step}", "If they are classes times that", LabelMap(scale=step))


def _unfitting_map(label_map: LabelMap, values: Values) -> _Suspicion | None:
    """A label map that leaves values out which another reading of it would name."""
    left_out = label_map.unmapped(values)
    if not left_out.size:
        return None
    lacks = f"the label map does not name {listed_values(left_out)}"
    classes = np.unique([index for _, index in label_map.values or ()])
    if np.isin(values, classes).all():
        if np.array_equal(classes, np.arange(len(classes))):
            return _Suspicion(
                f"{lacks}, but they are its classes", "If the masks hold class numbers already", LabelMap.identity()
            )
        if exchanged := _exchanged(label_map):
            return _Suspicion(
                f'{lacks}, but does so when read the wrong way round; it is {{"map": {{"<class>": <pixel value>}}}}',
                "If class and pixel value were exchanged",
                exchanged,
            )
    if related := _related(values, np.sort(_named(label_map))):
        words, matches = related
        return _Suspicion(
            f"{lacks}; they are {words} what it names", "If so", _listing(values, classes_of(matches, label_map))
        )
    return None


def _unlike(
    validation: ChannelStatistics, theirs: Values, train: ChannelStatistics, ours: Values, train_map: LabelMap
) -> _Suspicion | None:
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
    if related is None:
        return None
    words, matches = related
    matched = classes_of(matches, label_map)
    if (matched < 0).all():
        return None
    return _Suspicion(f"they are {words} those of train", "If that is a mistake", _listing(theirs, matched))


def _related(values: Values, reference: Values) -> tuple[str, Values] | None:
    """How values that are not among others would be, in words, and which of the others each then is, [N]."""
    if not values.size or not reference.size or np.isin(values, reference).all():
        return None
    if len(values) >= max(2, len(reference) / 2):
        for shift, words in ((1, "one higher than"), (-1, "one lower than")):
            if np.isin(values - shift, reference).all():
                return words, values - shift
    own, other = (int(np.gcd.reduce(numbers)) for numbers in (values, reference))
    if own and other and own != other:
        factor, rest = divmod(max(own, other), min(own, other))
        matches = values // factor if own > other else values * factor
        likely = len(values) > 2 or factor > 3  # 0 and 2 may be two of the classes 0, 1 and 2
        if not rest and likely and np.isin(matches, reference).all():
            return (f"{factor} times" if own > other else f"1/{factor} of"), matches
    return None


def _exchanged(label_map: LabelMap) -> LabelMap | None:
    """The map with classes and pixel values exchanged, where that makes a map."""
    try:
        return LabelMap(values=tuple((index, pixel) for pixel, index in label_map.values or ()))
    except LabelError:
        return None


def _listing(values: Values, classes: Values) -> LabelMap:
    """A map that names each value's class; those of no class are left out."""
    named = (classes >= 0) & (classes <= HIGHEST_CLASS)
    return LabelMap(values=tuple(zip(values[named].tolist(), classes[named].tolist(), strict=True)))
