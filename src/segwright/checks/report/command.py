"""What `segwright inspect` does: a survey, told as a table, as JSON and as a page."""

import logging
from pathlib import Path
from typing import Final

from segwright.checks.findings import ChannelStatistics
from segwright.checks.report.page import render
from segwright.checks.report.survey import Inspection, sizes, survey
from segwright.console import table
from segwright.data.channels import Channels
from segwright.errors import DataError
from segwright.hyperparameters import Hyperparameters
from segwright.standard_streams import OUTPUT
from segwright.storage import check_replaceable, check_writable_file, write_bytes, write_json
from segwright.wording import counted, plain

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
) -> Inspection:
    """Look at the data as a training with `settings` would, and tell all that is wrong or remarkable.

    Prints a table and the findings, and writes the page `html` (left out, `segwright-inspect.html` in the current
    directory, which is replaced each time) and the file `json`, if named. Raises DataError at the end, when all is
    written, where a training would refuse the data, and OutputExistsError or UserError at once for outputs that may
    not or cannot be written.
    """
    for given in (html, json):
        if given:
            check_replaceable(given, overwrite)
    html = html or DEFAULT_PAGE
    for output in (html, json):
        if output:
            check_writable_file(output)
    found = survey(channels, settings or Hyperparameters(), class_names=class_names, strict=strict)
    if json:
        write_json(json, found.to_json())
    write_bytes(html, render(found).encode())
    show(found)
    logger.info(f"the same with pictures: {html}")
    if found.refused:
        count = found.count("error")
        raise DataError(
            f"A training would refuse these data: {count} {'thing has' if count == 1 else 'things have'} to be mended "
            f"first (error, above and in {html})."
        )
    return found


def show(survey: Inspection) -> None:
    """Print the classes, a line for each channel, and a line for each finding."""
    if survey.class_names:
        rows = [
            (plain(f"{index} {name}"), *_share(survey.train, index), *_share(survey.validation, index))
            for index, name in enumerate(survey.class_names)
        ]
        table("Labelled pixels", ("class", "train pixels", "%", "validation pixels", "%"), rows)
    for channel in survey.channels:
        print(_summary(channel, len(survey.left_out[channel.channel])), file=OUTPUT, flush=True)
    for finding in survey.findings:
        print(f"{finding.severity}: {finding}", file=OUTPUT, flush=True)


def _share(channel: ChannelStatistics, index: int) -> tuple[str, str]:
    pixels = int(channel.histogram[index])
    return f"{pixels:,}", f"{100 * pixels / max(int(channel.histogram.sum()), 1):.2f}"


def _summary(channel: ChannelStatistics, left_out: int) -> str:
    by_size = sizes(channel)
    if not by_size:
        return f"{channel.channel}: no pairs, {left_out} left out"
    height, width, count = by_size[0]
    others = f" and {counted(len(by_size) - 1, 'other size')}" if by_size[1:] else ""
    ignored = 100 * channel.ignored_pixels / max(int(channel.pixels.sum()), 1)
    forms = sorted({str(one.form) for one in channel.readings if not one.form.is_plain_colour})
    others += f", {' and '.join(forms)}" if forms else ""
    return (
        f"{channel.channel}: {len(channel.readings)} pairs, {left_out} left out; {count} of {width}x{height} pixels"
        f"{others}; {ignored:.1f} % of pixels ignored"
    )
