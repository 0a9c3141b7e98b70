"""Writing imported pairs: SageMaker's channel folders, a label map and class names.

Knows folders, files and threads; each thread holds one pair. Refuses to know formats and how pairs were divided.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.console import LOGGER, progress
from segwright.data.importers.items import Canvas, ImportedData, ImportedPair
from segwright.data.importers.splitting import Division
from segwright.errors import DataError, UserError
from segwright.formats.images import IMAGE_SUFFIXES, image_size
from segwright.formats.masks import encode_mask
from segwright.formats.orientation import noted_orientation
from segwright.formats.signatures import sniff
from segwright.palettes import default_palette
from segwright.resources import available_cores
from segwright.storage import path_below, write_json

_FEWEST_THREADS: Final = 8  # references of a manifest lead to S3, which answers slowly but to many at once
_SHOWN: Final = 3
_ENDINGS: Final = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WebP": ".webp"}


def write_channels(folder: Path, data: ImportedData, division: Division) -> None:
    """Write all pairs, the label map and the class names into an empty folder.

    Images are copied as they are; masks become palette PNGs of class indices. What had to be done to masks is
    told in one warning for each kind. Raises DataError for images that are none and masks that do not fit.
    """
    palette = default_palette(len(data.class_names)) if data.palette is None else data.palette
    jobs = [
        (channel, pair)
        for channel, pairs in (("train", division.train), ("validation", division.validation))
        for pair in pairs
    ]
    remarks = _Remarks()
    with (
        ThreadPoolExecutor(max(available_cores(), _FEWEST_THREADS)) as pool,
        progress("importing", len(jobs)) as advance,
    ):
        # an exception here drops the iterator of map(), which cancels what has not begun
        for (_, pair), noted in zip(jobs, pool.map(partial(_write_pair, folder, palette), jobs), strict=True):
            remarks.add(pair.name, noted)
            advance(1, "pairs")
    remarks.tell()
    _write_label_maps(folder / "label_map", data.class_names)


def _write_pair(folder: Path, palette: NDArray[np.uint8], job: tuple[str, ImportedPair]) -> Mapping[str, int]:
    """Write one pair into its channel; returns the remarks on its mask."""
    channel, pair = job
    image = pair.image.read()
    canvas = Canvas(*image_size(image, pair.image.name), noted_orientation(image, sniff(image)))
    drawn = pair.draw_mask(canvas)
    _write(folder / channel, f"{pair.key}{_ending(pair.name, image)}", image, pair.name)
    _write(folder / f"{channel}_annotation", f"{pair.key}.png", encode_mask(drawn.mask, palette), pair.name)
    return drawn.remarks


def _write(folder: Path, name: str, data: bytes, origin: str) -> None:
    """Write a file that is not there yet; DataError that names the image for a name that is none, or is taken."""
    try:
        path = path_below(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except UserError as error:
        raise DataError(f"{origin}: {error} Rename the image.") from None
    except (FileExistsError, NotADirectoryError):  # to some file systems A and a are one; or a.png and a.png/b
        raise DataError(f"{origin}: another image has taken the name {name}: rename one of the two.") from None


def _ending(name: str, image: bytes) -> str:
    """The ending of a file name where it is one of an image, else what the bytes are."""
    ending = PurePosixPath(name).suffix
    return ending if ending.lower() in IMAGE_SUFFIXES else _ENDINGS[sniff(image) or "PNG"]


def _write_label_maps(folder: Path, names: Iterable[str]) -> None:
    """The map of every class to itself, so that 255 and nothing else is ignored, for both channels; and the names."""
    folder.mkdir()
    names = list(names)
    label_map = {"map": {str(index): index for index in range(len(names))}}
    write_json(folder / "train_label_map.json", label_map)
    write_json(folder / "validation_label_map.json", label_map)
    write_json(folder / "class_names.json", names)


@dataclass
class _Remarks:
    """What happened to masks, counted over all of them."""

    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    pairs: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, pair: str, remarks: Mapping[str, int]) -> None:
        """Count the remarks on one mask."""
        for remark, count in remarks.items():
            self.counts[remark] += count
            self.pairs[remark].append(pair)

    def tell(self) -> None:
        """One warning for each remark, with its count and the first pairs."""
        for remark, count in self.counts.items():
            names = self.pairs[remark]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            LOGGER.warning(f"{remark}: {count:,} (in {', '.join(names[:_SHOWN])}{more})")
