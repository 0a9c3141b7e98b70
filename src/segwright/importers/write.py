"""Writing imported pairs: SageMaker's channel folders, a label map and class names.

Knows folders, files and threads; each thread holds one pair. Refuses to know formats and how pairs were divided.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.console import progress
from segwright.errors import DataError, UserError
from segwright.formats.file_types import sniff
from segwright.formats.images import IMAGE_SUFFIXES, verify_image
from segwright.formats.masks import encode_mask
from segwright.importers.dataset import Canvas, Frame, ImportedData, ImportedPair, MismatchError
from segwright.importers.frames import TurnedImage, common_frame, tell_turned
from segwright.importers.split import Division
from segwright.labels import IGNORE
from segwright.palettes import default_palette
from segwright.resources import available_cores
from segwright.storage import path_below, write_json
from segwright.wording import listed, sentences

logger = logging.getLogger(__name__)

_FEWEST_THREADS: Final = 8  # references of a manifest lead to S3, which answers slowly but to many at once
_ENDINGS: Final = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WebP": ".webp"}


def write_channels(
    folder: Path, data: ImportedData, division: Division, labelled: Frame | None = None
) -> tuple[int, int]:
    """Write all pairs, the label map and the class names into an empty folder; returns the numbers of pairs to train
    on and to validate with. `labelled` says over which pixels of turned images the labels lie, whatever they tell.

    Images are copied as they are; masks become palette PNGs of class indices. Pairs that cannot be read are left out
    with a warning, and what had to be done to masks is told in one warning for each kind. Raises MismatchError for
    masks that do not fit, DataError where no pair is left on a side, and where no shape is left to draw.
    """
    jobs = [
        _Job(channel, pair)
        for channel, pairs in (("train", division.train), ("validation", division.validation))
        for pair in pairs
    ]
    palette = default_palette(len(data.class_names)) if data.palette is None else data.palette
    import_pair = partial(_import_pair, folder, palette)
    with (
        ThreadPoolExecutor(max(available_cores(), _FEWEST_THREADS)) as pool,
        progress("importing", len(jobs)) as advance,
    ):
        done: list[_Job] = []
        # an exception here drops the iterator of map(), which cancels what has not begun
        for job in pool.map(import_pair, jobs):
            done.append(job)
            advance(int(job.turned is None), "pairs")
        turned = [job for job in done if job.turned]
        common = common_frame([job.turned for job in turned if job.turned], data.frame)
        for _ in pool.map(partial(import_pair, common=common, labelled=labelled), turned):
            advance(1, "pairs")
    tell_turned([job.turned for job in turned if job.turned and not job.problem], common, len(jobs), labelled)
    _tell_left_out(done)
    _tell_remarks(done)
    _check_nothing_to_learn(done)
    _write_label_maps(folder / "label_map", data.class_names)
    written = Counter(job.channel for job in done if not job.problem)
    return written["train"], written["validation"]


@dataclass(eq=False)
class _Job:
    """A pair and its channel, and what became of it."""

    channel: str
    pair: ImportedPair
    drawn_shapes: int | None = None
    labelled: bool = False
    """Whether any pixel has a class."""
    remarks: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    """Why it was left out."""
    turned: TurnedImage | None = None
    """Set where the image is noted as turned: such pairs are written when all have been seen."""


def _import_pair(
    folder: Path, palette: NDArray[np.uint8], job: _Job, common: Frame | None = None, labelled: Frame | None = None
) -> _Job:
    """Write one pair into its channel, and note what happened. Where the image is turned and no `common` frame is
    known yet, only look at it.
    """
    pair = job.pair
    try:
        image = pair.image.read()
        facts = verify_image(image, pair.image.name)
        canvas = Canvas(facts.height, facts.width, facts.orientation)
        if canvas.orientation > 1:
            job.turned = job.turned or TurnedImage(pair.name, pair.frame(canvas))
            if common is None:
                return job
            canvas = replace(canvas, frame=labelled or job.turned.proven or common)
        drawn = pair.draw_mask(canvas)
    except MismatchError:
        raise
    except DataError as error:
        job.problem = str(error)
        return job
    mask = canvas.turned_back(drawn.mask) if canvas.frame == "shown" else drawn.mask
    _write(folder / job.channel, f"{pair.key}{_ending(pair.name, image)}", image, pair.name)
    _write(folder / f"{job.channel}_annotation", f"{pair.key}.png", encode_mask(mask, palette), pair.name)
    job.remarks, job.drawn_shapes = drawn.remarks, drawn.shapes
    job.labelled = bool((mask != IGNORE).any())
    return job


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


def _tell_left_out(jobs: Sequence[_Job]) -> None:
    """One warning for all pairs that were left out. Raises DataError where a side has no other."""
    problems = [job.problem for job in jobs if job.problem]
    if not problems:
        return
    what = f"{len(problems)} of {len(jobs)} pairs cannot be read and are left out: {sentences(problems)}"
    for channel in ("train", "validation"):
        if all(job.problem for job in jobs if job.channel == channel):
            raise DataError(f"No pair is left for {channel}. {what}")
    logger.warning(what)


def _tell_remarks(jobs: Sequence[_Job]) -> None:
    """One warning for each remark on masks, with its count and the first pairs."""
    counts: Counter[str] = Counter()
    names: defaultdict[str, list[str]] = defaultdict(list)
    for job in jobs:
        counts.update(job.remarks)
        for remark in job.remarks:
            names[remark].append(job.pair.name)
    for remark, count in counts.items():
        logger.warning(f"{remark}: {count:,} (in {listed(names[remark])})")


def _check_nothing_to_learn(jobs: Sequence[_Job]) -> None:
    """Raise DataError where masks are drawings and none shows a shape, and where all pixels are ignored."""
    drawn = [job.drawn_shapes for job in jobs if job.drawn_shapes is not None]
    if drawn and not any(drawn):
        raise DataError(
            f"None of the {len(drawn)} images has a shape that can be drawn, so all would be background: the warnings "
            "above say what was left out. Export outlines (polygons or masks), not boxes."
        )
    if not any(job.labelled for job in jobs):
        raise DataError(
            f"All pixels of all {len(jobs)} masks are ignored, so there is nothing to learn: none of their "
            "values is that of a class. Look whether these are the masks that are meant, and the format is theirs."
        )
