"""Writes imported pairs as SageMaker's channel folders, with label map and class names; each thread holds one pair."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.console import progress
from segwright.data.channels import SPLITS, Split
from segwright.errors import DataError, UserError
from segwright.formats.images import IMAGE_SUFFIXES, EncodedImage
from segwright.formats.masks import encode_mask
from segwright.importers.dataset import ImportedData, ImportedPair
from segwright.importers.geometry import Frame, ImageGeometry, MismatchError
from segwright.importers.split import Division
from segwright.labels import IGNORE
from segwright.palettes import default_palette
from segwright.resources import available_cores
from segwright.storage import path_below, write_json
from segwright.wording import counted, listed, sentences

logger = logging.getLogger(__name__)

_MIN_THREADS: Final = 8  # references of a manifest lead to S3, which answers slowly but many at once
_LABELLED: Final[dict[Frame, str]] = {"stored": "as their pixels are stored", "shown": "as programs show them"}
_SUFFIXES: Final = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WebP": ".webp"}


@dataclass(eq=False)
class _PairImport:
    """A pair and its split, and what became of it."""

    split: Split
    pair: ImportedPair
    turned: bool = False  # by an EXIF orientation: such pairs are written when all have been seen
    proven: Frame | None = None
    frame: Frame | None = None
    problem: str = ""  # why it was left out
    notes: Mapping[str, int] = field(default_factory=dict)
    shapes: int | None = None
    has_labels: bool = False


def write_channels(
    folder: Path, data: ImportedData, division: Division, labelled: Frame | None = None
) -> tuple[int, int]:
    """Write all pairs, the label map and the class names into an empty folder; returns how many pairs both splits have.

    Images are copied; masks become palette PNGs of class indices. Warns of pairs that cannot be read and each kind of
    note. `labelled` is the frame of all labels, whatever they prove. Raises MismatchError for masks that do not fit,
    DataError where no pair is left in a split, no shape was drawn, or no pixel has a class.
    """
    jobs = [_PairImport("train", pair) for pair in division.train] + [
        _PairImport("validation", pair) for pair in division.validation
    ]
    palette = default_palette(len(data.class_names)) if data.palette is None else data.palette
    import_pair = partial(_import_pair, folder, palette)
    with (
        ThreadPoolExecutor(max(available_cores(), _MIN_THREADS)) as pool,
        progress("importing", len(jobs)) as advance,
    ):
        # an exception here drops the iterator of map(), which cancels what has not begun
        for job in pool.map(import_pair, jobs):
            advance(int(not job.turned), "pairs")
        turned = [job for job in jobs if job.turned]
        votes = Counter(job.proven for job in turned)  # a tool treats all images alike
        common = max((data.frame, *_LABELLED), key=votes.__getitem__)
        for job in turned:
            job.frame = labelled or job.proven or common
        for _ in pool.map(import_pair, turned):
            advance(1, "pairs")
    _log_frames(jobs, labelled)
    _log_problems(jobs)
    _log_notes(jobs)
    _check_labels(jobs)
    (folder / "label_map").mkdir()
    label_map = {"map": {str(index): index for index in range(len(data.class_names))}}  # so that only 255 is ignored
    for split in SPLITS:
        write_json(folder / "label_map" / f"{split}_label_map.json", label_map)
    write_json(folder / "label_map" / "class_names.json", list(data.class_names))
    written = Counter(job.split for job in jobs if not job.problem)
    return written["train"], written["validation"]


def _import_pair(folder: Path, palette: NDArray[np.uint8], job: _PairImport) -> _PairImport:
    """Write one pair; where the image has an orientation and the job no frame, only note what frame is proven."""
    pair = job.pair
    try:
        image = EncodedImage(pair.image.read(), pair.image.name)
        image.verify()
        geometry = ImageGeometry(image.size(), image.orientation)
        if geometry.orientation > 1:
            if job.frame is None:
                job.proven, job.turned = pair.frame(geometry), True
                return job
            geometry = replace(geometry, frame=job.frame)
        drawing = pair.draw_mask(geometry)
    except MismatchError:
        raise
    except DataError as error:
        job.problem = str(error)
        return job
    suffix = PurePosixPath(pair.name).suffix
    suffix = suffix if suffix.lower() in IMAGE_SUFFIXES else _SUFFIXES[image.container or "PNG"]
    _write(folder / job.split, f"{pair.key}{suffix}", image.data, pair.name)
    mask = encode_mask(geometry.to_stored(drawing.mask), palette)
    _write(folder / f"{job.split}_annotation", f"{pair.key}.png", mask, pair.name)
    job.notes, job.shapes, job.has_labels = +drawing.notes, drawing.shapes, bool((drawing.mask != IGNORE).any())
    return job


def _write(folder: Path, name: str, data: bytes, origin: str) -> None:
    """Write a file that is not there yet; DataError that names the image for a name that is invalid or taken."""
    try:
        path = path_below(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except UserError as error:
        raise DataError(f"{origin}: {error} Rename the image.") from None
    except (FileExistsError, NotADirectoryError):  # to some file systems A and a are one; or a.png and a.png/b
        raise DataError(f"{origin}: another image has taken the name {name}: rename one of the two.") from None


def _log_frames(jobs: Sequence[_PairImport], given: Frame | None) -> None:
    """Warn of images with an EXIF orientation: as what their labels were taken and why, and how to train on them."""
    for frame, words in _LABELLED.items():
        found = [job for job in jobs if job.frame == frame and not job.problem]
        other = "shown" if frame == "stored" else "stored"
        proofs = sum(job.proven is not None for job in found)
        why = f"as sizes or points of {proofs} prove"
        if given:
            why = "as --labelled says"
        elif not proofs:
            why = f"which nothing proves: if masks lie turned in `segwright inspect`, import with --labelled {other}"
        if found:
            names = listed(sorted(job.pair.name for job in found))
            logger.warning(
                f"Images with an EXIF orientation: {len(found)} of {len(jobs)} ({names}), taken as "
                f"labelled {words}, {why}. Train without apply_exif_orientation: masks fit stored pixels."
            )


def _log_problems(jobs: Sequence[_PairImport]) -> None:
    """Warn of the pairs that were left out. Raises DataError where a split has no other."""
    if problems := [job.problem for job in jobs if job.problem]:
        what = f"{len(problems)} of {counted(len(jobs), 'pair')} left out, not readable: {sentences(problems)}"
        for split in SPLITS:
            if all(job.problem for job in jobs if job.split == split):
                raise DataError(f"No pair is left for {split}. {what}")
        logger.warning(what)


def _log_notes(jobs: Sequence[_PairImport]) -> None:
    """One warning for each kind of note on masks, with its count and the first images."""
    for note in dict.fromkeys(note for job in jobs for note in job.notes):
        having = [job for job in jobs if note in job.notes]
        count = sum(job.notes[note] for job in having)
        logger.warning(f"{note}: {count:,} (in {listed([job.pair.name for job in having])})")


def _check_labels(jobs: Sequence[_PairImport]) -> None:
    """Raise DataError where masks are drawn and none shows a shape, and where all pixels are ignored."""
    shapes = [job.shapes for job in jobs if job.shapes is not None]
    if shapes and not any(shapes):
        raise DataError(
            f"None of the {len(shapes)} images has a shape that can be drawn, so all would be background: the warnings "
            "above say what was left out. Export outlines (polygons or masks), not boxes."
        )
    if not any(job.has_labels for job in jobs):
        raise DataError(
            f"All pixels of all {len(jobs)} masks are ignored, so there is nothing to learn: none of their "
            "values is that of a class. Look whether these are the right masks, and the format is theirs."
        )
