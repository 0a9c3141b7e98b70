"""One HTML page of a survey: findings, classes, sizes and samples, readable without a network and without JavaScript.

Knows what the page says; how it looks is in `page.html`. All texts are escaped by the template engine, and the page
forbids itself to load or run anything. Refuses to write files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from segwright import __version__
from segwright.checks.findings import ChannelStatistics
from segwright.checks.report.charts import TICKS, crop_sketches, log_length, presence_strip, share_words
from segwright.checks.report.samples import STRANGE, Sample, draw_samples
from segwright.checks.report.survey import Inspection, sizes
from segwright.checks.scan import combine
from segwright.findings import SEVERITIES, Finding
from segwright.wording import counted, plain

_SIZES_SHOWN: Final = 8
_VALUES_SHOWN: Final = 24
_LEFT_OUT_SHOWN: Final = 200


@dataclass(frozen=True)
class _Share:
    """One class in one channel."""

    length: float
    """Of its bar, 0 to 100."""
    words: str
    pixels: int
    pictures: int
    strip: str
    """A data URI; nothing for a channel without pictures."""


@dataclass(frozen=True)
class _ClassRow:
    name: str
    colour: str
    train: _Share
    validation: _Share


@dataclass(frozen=True)
class _FindingCard:
    finding: Finding
    samples: tuple[Sample, ...]


def render(survey: Inspection) -> str:
    """The page as HTML text."""
    samples, mentioned = draw_samples(survey)
    counts = {severity: survey.count(severity) for severity in SEVERITIES}
    return (
        _environment()
        .get_template("page.html")
        .render(
            version=__version__,
            source=survey.source,
            refused=survey.refused,
            counts=counts,
            cards=[_card(finding, mentioned) for finding in survey.findings],
            channels=[_facts(survey, channel) for channel in survey.channels],
            classes=_class_rows(survey),
            ticks=[(f"{tick:g} %", log_length(tick)) for tick in TICKS],
            values=None if survey.class_names else [_value_rows(channel) for channel in survey.channels],
            sketches=_sketches(survey),
            base_size=survey.settings.base_size,
            crop_size=survey.settings.training_crop_size,
            samples=samples,
            colours=[_colour(colour) for colour in survey.palette],
            class_names=survey.class_names,
            strange=_colour(STRANGE) if survey.class_names and _strange(survey) else None,
        )
    )


def _strange(survey: Inspection) -> bool:
    """Whether some pixels have a value that is no class."""
    return any(channel.pixels[:, -1].any() for channel in survey.channels)


def _environment() -> Environment:
    """Templates that escape every text and name what they lack."""
    environment = Environment(
        loader=PackageLoader("segwright.checks.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["grouped"] = lambda number: f"{number:,}"
    return environment


def _card(finding: Finding, mentioned: Mapping[str, Sample]) -> _FindingCard:
    return _FindingCard(finding, tuple(mentioned[file] for file in finding.files if file in mentioned))


def _facts(survey: Inspection, channel: ChannelStatistics) -> dict[str, Any]:
    left_out = survey.left_out[channel.channel]
    return {
        "name": channel.channel,
        "pairs": len(channel.readings),
        "left_out": left_out[:_LEFT_OUT_SHOWN],
        "left_out_count": len(left_out),
        "ignored": share_words(100 * channel.ignored_pixels / max(int(channel.pixels.sum()), 1)),
        "forms": sorted({str(reading.form) for reading in channel.readings}),
        "label_map": ""
        if channel.label_map.scale == 1
        else json.dumps(channel.label_map.to_json(), ensure_ascii=False),
        "sizes": _size_rows(channel),
    }


def _size_rows(channel: ChannelStatistics) -> list[dict[str, Any]]:
    """The most frequent sizes, and all others in one row."""
    by_size = sizes(channel)
    largest = by_size[0].pairs if by_size else 0
    rows = [_size_row(f"{size.width} x {size.height}", size.pairs, largest) for size in by_size[:_SIZES_SHOWN]]
    if others := by_size[_SIZES_SHOWN:]:
        rows.append(_size_row(counted(len(others), "other size"), sum(size.pairs for size in others), largest))
    return rows


def _size_row(name: str, pairs: int, largest: int) -> dict[str, Any]:
    return {"name": name, "pairs": pairs, "length": min(100 * pairs / largest, 100)}


def _class_rows(survey: Inspection) -> list[_ClassRow]:
    return [
        _ClassRow(
            f"{index} {name}", _colour(survey.palette[index]), *(_share(survey, one, index) for one in survey.channels)
        )
        for index, name in enumerate(survey.class_names)
    ]


def _share(survey: Inspection, channel: ChannelStatistics, index: int) -> _Share:
    pixels = int(channel.histogram[index])
    percent = 100 * pixels / max(int(channel.histogram.sum()), 1)
    strip = presence_strip(channel, index, survey.palette[index]) if channel.readings else ""
    return _Share(log_length(percent), share_words(percent), pixels, int(channel.pictures[index]), strip)


def _value_rows(channel: ChannelStatistics) -> dict[str, Any]:
    """The most frequent pixel values of masks whose classes nobody knows."""
    rows: list[dict[str, Any]] = []
    more = 0
    if channel.readings:
        values, counts = combine(channel.readings)
        order = np.sort(np.argsort(-counts, kind="stable")[:_VALUES_SHOWN])
        more = len(values) - len(order)
        for value, count in zip(values[order].tolist(), counts[order].tolist(), strict=True):
            percent = 100 * count / int(counts.sum())
            rows.append({"value": value, "length": log_length(percent), "words": share_words(percent)})
    return {"name": channel.channel, "rows": rows, "more": more}


def _sketches(survey: Inspection) -> list[dict[str, Any]]:
    """The most frequent training picture at three scales, with a crop, in the measures of one drawing."""
    by_size = sizes(survey.train)
    if not by_size:
        return []
    size, settings = by_size[0], survey.settings
    sketches = crop_sketches(size.height, size.width, settings.base_size, settings.training_crop_size)
    unit = 220 / max(max(one.width, one.height, one.crop) for one in sketches)
    return [
        {
            "scale": one.scale,
            "words": f"{one.width} x {one.height}",
            "width": round(one.width * unit, 1),
            "height": round(one.height * unit, 1),
            "crop": round(one.crop * unit, 1),
        }
        for one in sketches
    ]


def _colour(colour: Sequence[int] | Any) -> str:
    red, green, blue = (int(part) for part in colour)
    return f"rgb({red}, {green}, {blue})"
