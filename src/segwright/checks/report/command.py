"""What `segwright inspect` does: the data check, shown as a table, as JSON and as a page."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any, Final

from segwright.checks.channel_statistics import ChannelStatistics
from segwright.checks.prepare import CheckedData, examine
from segwright.checks.report.page import render
from segwright.console import table
from segwright.data.channels import Channels
from segwright.findings import FindingError
from segwright.formats.pixels import RGB
from segwright.hyperparameters import Hyperparameters
from segwright.labels import NO_DATA
from segwright.standard_streams import OUTPUT
from segwright.storage import check_replaceable, check_writable_file, write_bytes, write_json
from segwright.wording import counted, listed, printable

logger = logging.getLogger(__name__)

DEFAULT_PAGE: Final = Path("segwright-inspect.html")


def inspect(
    channels: Channels,
    settings: Hyperparameters | None = None,
    *,
    html: Path | None = None,
    json: Path | None = None,
    class_names: Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> CheckedData:
    """Check the data as a training with `settings` would, and report all that is wrong or remarkable.

    Prints a table and the findings, and writes the page `html` (left out, `segwright-inspect.html` in the current
    directory, which is replaced each time) and the file `json`, if named. Raises DataError at the end where a training
    would refuse the data, and OutputExistsError or UserError at once for outputs that cannot be written.
    """
    for given in filter(None, (html, json)):
        check_replaceable(given, overwrite)
    html = html or DEFAULT_PAGE
    for output in filter(None, (html, json)):
        check_writable_file(output)
    settings = settings or Hyperparameters()
    places = [source.images for source in (channels.train, channels.validation, channels.test) if source]
    source = printable(f"{listed(places[:-1])} and {places[-1]}")
    data = examine(channels, settings, class_names=class_names, strict=strict)
    if json:
        write_json(json, to_json(data, source, settings))
    write_bytes(html, render(data, source, settings).encode())
    print_findings(data)
    logger.info(f"page with images: {html}")
    if data.refusals:
        things = counted(len(data.refusals), "thing has", "things have")
        where = f"(error, above and in {html})"
        raise FindingError(
            data.refusals[0], f"A training would refuse these data: {things} to be mended first {where}."
        )
    return data


def to_json(data: CheckedData, source: str, settings: Hyperparameters) -> dict[str, Any]:
    """All that was found, as plain values."""
    channels = {}
    for channel in data.channels:
        values = ["no data" if value == NO_DATA else str(value) for value in channel.values.tolist()]
        kept = channel.to_json()
        channels[channel.channel] = {
            "pairs": len(channel.scans),
            "label_map": channel.label_map.to_json(),
            "exif_orientations": dict(sorted(Counter(str(scan.orientation) for scan in channel.scans).items())),
            "pixel_forms": list(channel.forms),
            "pictures_with_class": channel.images_with_class.tolist(),
            "pixel_values": dict(zip(values, channel.counts.tolist(), strict=True)),
        } | {name: kept[name] for name in ("left_out", "sizes", "histogram", "ignored_pixels")}
    return {
        "data": source,
        "refused": bool(data.refusals),
        "num_classes": data.num_classes or None,
        "class_names": list(data.class_names),
        "base_size": settings.base_size if settings.image_scale is None else None,
        "image_scale": settings.image_scale,
        "crop_size": settings.training_crop_size,
        "channels": channels,
        "findings": [finding.to_json() for finding in data.findings],
    }


def print_findings(data: CheckedData) -> None:
    """Print the classes, a line for each channel, and a line for each finding."""
    rows = []
    for index, name in enumerate(data.class_names):
        row = [printable(f"{index} {name}")]
        for channel in data.channels:
            pixels, total = int(channel.histogram[index]), max(int(channel.histogram.sum()), 1)
            row += [f"{pixels:,}", f"{100 * pixels / total:.2f}"]
        rows.append(row)
    if rows:
        columns = [column for channel in data.channels for column in (f"{channel.channel} pixels", "%")]
        table("Labelled pixels", ("class", *columns), rows)
    for line in (*map(_summary, data.channels), *(f"{finding.severity}: {finding}" for finding in data.findings)):
        print(line, file=OUTPUT, flush=True)


def _summary(channel: ChannelStatistics) -> str:
    left_out = f"{len(channel.left_out)} left out"
    if not channel.scans:
        return f"{channel.channel}: no pairs, {left_out}"
    (height, width), count = channel.image_sizes[0]
    more = len(channel.image_sizes) - 1
    others = f" and {counted(more, 'other size')}" if more else ""
    forms = "".join(f", {pixel_format}" for pixel_format in channel.forms if pixel_format != str(RGB))
    ignored = 100 * channel.ignored_pixels / max(int(channel.counts.sum()), 1)
    size = f"{count} of {width}x{height} pixels{others}{forms}"
    return f"{channel.channel}: {len(channel.scans)} pairs, {left_out}; {size}; {ignored:.1f} % of pixels ignored"
