"""One HTML page of a data check, which needs neither a network nor JavaScript; its looks are in `page.html`.

All texts are escaped by the template engine, and the page forbids itself to load or run anything.
"""

import base64
import io
import math
from collections import Counter
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from segwright import __version__
from segwright.checks.advice import crop_is_given
from segwright.checks.channel_statistics import ChannelStatistics
from segwright.checks.prepare import CheckedData
from segwright.checks.report.samples import STRANGE, draw_samples
from segwright.hyperparameters import Hyperparameters
from segwright.pages import STYLE
from segwright.wording import counted, printable

TICKS: Final = (0.01, 0.1, 1.0, 10.0, 100.0)  # shares, in percent, that the scale of `log_length` names

_SMALLEST: Final = 0.001  # percent; what is less has no length
_COLUMNS: Final = 160  # of a strip
_SIZES_SHOWN: Final = 8
_VALUES_SHOWN: Final = 24
_LEFT_OUT_SHOWN: Final = 200
_SKETCH: Final = 220  # pixels of the page, the longest side of all


def render(data: CheckedData, source: str, settings: Hyperparameters) -> str:
    """The page as HTML text; `source` says where the data lie."""
    samples, mentioned = draw_samples(data)
    strange = data.class_names and any(channel.pixels[:, -1].any() for channel in data.channels)
    environment = Environment(
        loader=PackageLoader("segwright.checks.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["grouped"] = lambda number: f"{number:,}"
    environment.filters["colour"] = lambda colour: f"rgb({', '.join(str(int(part)) for part in colour)})"
    environment.filters["log_length"] = log_length
    return environment.get_template("page.html").render(
        version=__version__,
        style=Markup(STYLE),
        source=source,
        data=data,
        counts=Counter(finding.severity for finding in data.findings),
        mentioned=mentioned,
        ticks=TICKS,
        bar=_bar,
        presence_strip=presence_strip,
        size_rows=_size_rows,
        value_rows=_value_rows,
        left_out_shown=_LEFT_OUT_SHOWN,
        sketches=_sketches(data.train, settings),
        settings=settings,
        crop_is_given=crop_is_given(settings),
        samples=samples,
        strange=STRANGE if strange else None,
    )


def _size_rows(channel: ChannelStatistics) -> list[dict[str, Any]]:
    """The most frequent sizes, and all others in one row."""
    shown, others = channel.image_sizes[:_SIZES_SHOWN], channel.image_sizes[_SIZES_SHOWN:]
    rows = [(f"{width} x {height}", pairs) for (height, width), pairs in shown]
    if others:
        rows.append((counted(len(others), "other size"), sum(pairs for _, pairs in others)))
    return [{"name": name, "pairs": pairs, "length": min(100 * pairs / rows[0][1], 100)} for name, pairs in rows]


def _bar(pixels: int, all_pixels: int) -> dict[str, Any]:
    percent = 100 * pixels / max(all_pixels, 1)
    return {"length": log_length(percent), "words": share_words(percent)}


def _value_rows(channel: ChannelStatistics) -> list[tuple[int, int]]:
    """The most frequent pixel values of masks whose classes are not known, and how often each occurs."""
    order = np.sort(np.argsort(-channel.counts, kind="stable")[:_VALUES_SHOWN])
    return list(zip(channel.values[order].tolist(), channel.counts[order].tolist(), strict=True))


def _sketches(train: ChannelStatistics, settings: Hyperparameters) -> list[dict[str, Any]]:
    """The most frequent training image at three scales, with a crop, in the measures of one drawing."""
    if not train.image_sizes:
        return []
    sizes = scaled_sizes(*train.image_sizes[0][0], settings)
    crop = settings.training_crop_size
    unit = _SKETCH / max(crop, *(max(width, height) for _, width, height in sizes))
    return [
        {
            "scale": scale,
            "words": f"{width} x {height}",
            "width": width * unit,
            "height": height * unit,
            "crop": crop * unit,
        }
        for scale, width, height in sizes
    ]


def log_length(percent: float) -> float:
    """How long a bar is, 0 to 100, on a logarithmic scale from 0.001 to 100 percent."""
    return 100 * math.log10(max(percent, _SMALLEST) / _SMALLEST) / math.log10(100 / _SMALLEST)


def share_words(percent: float) -> str:
    """A share with as many digits as say something."""
    if percent == 0:
        return "none"
    if percent < 0.001:
        return "< 0.001 %"
    return f"{percent:.3f} %" if percent < 0.1 else f"{percent:.2f} %" if percent < 10 else f"{percent:.1f} %"


def presence_strip(channel: ChannelStatistics, index: int, colour: NDArray[np.uint8]) -> str:
    """One class over all images from left to right, as a data URI of a PNG, one pixel high.

    A column is an image, or a group of neighbours where there are many. It is the more opaque the larger the
    class's share of them is, and clear where the class is in none of them.
    """
    pixels = channel.by_class[:, index] / np.maximum(channel.pixels.sum(1), 1)
    groups = np.array_split(pixels, min(_COLUMNS, len(pixels)))
    shares = np.array([group.mean() for group in groups])
    opacity = np.where(shares > 0, 0.3 + 0.7 * np.sqrt(shares / max(float(shares.max(initial=0)), 1e-12)), 0)
    strip = np.empty((1, len(shares), 4), np.uint8)
    strip[..., :3] = colour
    strip[..., 3] = np.rint(255 * opacity)
    stream = io.BytesIO()
    Image.fromarray(strip).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def scaled_sizes(height: int, width: int, settings: Hyperparameters) -> list[tuple[str, int, int]]:
    """Name, width and height of an image of `height` x `width` pixels at three scales of the training."""
    factor = settings.long_side(height, width) / max(height, width)
    smallest, largest = settings.scale_range
    return [
        (name, max(round(width * factor * scale), 1), max(round(height * factor * scale), 1))
        for name, scale in (("smallest", smallest), ("middle", math.sqrt(smallest * largest)), ("largest", largest))
    ]
