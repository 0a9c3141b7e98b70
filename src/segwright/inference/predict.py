"""Pictures in folders to masks in a folder.

Knows file names and what is written beside one another. Refuses to know how logits are made.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.checks.image_orientation import count_orientations
from segwright.checks.image_rules import NotedFile, describe_notes
from segwright.console import progress
from segwright.data.folders import list_images
from segwright.errors import DataError, OutputExistsError, UserError
from segwright.formats.images import EncodedImage, encode_png
from segwright.formats.masks import encode_mask
from segwright.formats.pixels import Note, Pixels
from segwright.inference.model import Model, load
from segwright.storage import (
    Blob,
    Location,
    atomic_file,
    check_replaceable,
    check_writable_folder,
    parse_location,
    path_below,
    write_bytes,
)
from segwright.visualization import displayable
from segwright.visualization import overlay as draw_overlay

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outputs:
    """What is written for each image beside its mask."""

    overlay: bool = False
    probabilities: bool = False

    def suffixes(self) -> tuple[str, ...]:
        """The endings of the files of one image."""
        wanted = ((".png", True), (".overlay.png", self.overlay), (".npy", self.probabilities))
        return tuple(suffix for suffix, on in wanted if on)


def predict_files(
    bundle: Path | str,
    inputs: Sequence[Path | str],
    output: Path | str,
    *,
    overlay: bool = False,
    probabilities: bool = False,
    device: str | None = None,
    precision_dtype: str = "float32",
    overwrite: bool = False,
) -> None:
    """Write the mask of every image below `inputs` to `output`, as `STEM.png` below the same sub-folders.

    `overlay` adds `STEM.overlay.png`, `probabilities` adds `STEM.npy`, float32 [C, H, W]. A picture that cannot
    be read, or whose name is none below `output` (a key in S3 may hold `..`), does not stop the others. Raises
    OutputExistsError when `output` exists and may not be written to, DataError when two pictures would write the same
    file or, at the end, when some could not be predicted.
    """
    output = Path(output)
    check_replaceable(output, overwrite)
    check_writable_folder(output)
    outputs = Outputs(overlay, probabilities)
    images = _images([parse_location(path) for path in inputs], output)
    _check_collisions(images, outputs)
    model = load(bundle, device, precision_dtype)
    failed = []
    turned = list[tuple[str, int]]()
    noted = list[NotedFile]()
    with progress("predicting", len(images), every=20) as advance:
        for stem, blob in images:
            try:
                orientation, notes = _predict_one(model, blob, _files(output, stem, blob, outputs, overwrite), outputs)
                if orientation > 1:
                    turned.append((blob.name, orientation))
                noted += [NotedFile(blob.name, note) for note in notes]
            except UserError as error:
                logger.warning(str(error))
                failed.append(blob)
            advance(1, "images")
    for finding in describe_notes(noted, "image", len(images), "predict"):
        logger.log(logging.WARNING if finding.severity == "warning" else logging.INFO, "%s", finding)
    logger.info(f"wrote the masks of {len(images) - len(failed)} of {len(images)} images to {output}")
    if turned:
        read = "turned upright" if model.form.exif_transposed else "read as stored, without turning"
        logger.info(f"{count_orientations(turned, len(images))}: {read}, and so are the masks")
    if failed:
        raise DataError(f"{len(failed)} of {len(images)} images could not be predicted; the warnings above name them")


def _files(output: Path, stem: str, blob: Blob, outputs: Outputs, overwrite: bool) -> dict[str, Path]:
    """The files of one image, by ending. Raises DataError for a name that is none below `output`, and for a file that
    is there already and would be replaced without being asked for.
    """
    try:
        files = {suffix: path_below(output, stem + suffix) for suffix in outputs.suffixes()}
    except UserError as error:
        raise DataError(f"{blob.name} is not predicted: {error} Rename it.") from None
    there = [] if overwrite else [str(file) for file in files.values() if os.path.lexists(file)]
    if there:  # the output was empty, so this is a file system to which the names of two images are one
        raise DataError(f"{blob.name} is not predicted: {there[0]} was written in the meantime. Rename one of the two.")
    return files


def _predict_one(model: Model, blob: Blob, files: Mapping[str, Path], outputs: Outputs) -> tuple[int, tuple[Note, ...]]:
    """Write what is wanted of one image; return its EXIF orientation, and what was dropped of it or assumed."""
    encoded = EncodedImage(blob.read(), blob.name)
    image = encoded.decode(model.form)
    files[".png"].parent.mkdir(parents=True, exist_ok=True)
    mask = _write_probabilities(model, image, files[".npy"]) if outputs.probabilities else model.mask(image)
    write_bytes(files[".png"], encode_mask(mask, model.palette))
    if outputs.overlay:
        write_bytes(files[".overlay.png"], encode_png(draw_overlay(displayable(image), mask, model.palette)))
    return encoded.orientation, encoded.notes(model.form.bands)


def _images(inputs: Sequence[Location], output: Path) -> list[tuple[str, Blob]]:
    """List the pictures, without those that an earlier run left in an output folder below an input folder."""
    place = output.resolve()
    if place in {path.resolve() for path in inputs if isinstance(path, Path)}:
        raise OutputExistsError(
            f"{output} is also the input, where masks would replace pictures: choose another output"
        )
    return list_images(inputs, without=place)


def _check_collisions(images: Sequence[tuple[str, Blob]], outputs: Outputs) -> None:
    """Raise DataError where two images would write the same file, or one a file where another needs a folder."""
    written: dict[str, str] = {}
    for stem, blob in images:
        for suffix in outputs.suffixes():
            other = written.setdefault(stem + suffix, blob.name)
            if other != blob.name:
                raise DataError(
                    f"{other} and {blob.name} would both be written to {stem + suffix}: "
                    "rename one of them, or predict them into two folders"
                )
    for stem, blob in images:
        for folder in map(str, PurePosixPath(stem).parents):
            if folder in written:
                raise DataError(
                    f"{written[folder]} would be written to {folder}, which has to be a folder for {blob.name}: "
                    "rename one of them, or predict them into two folders"
                )


def _write_probabilities(model: Model, image: Pixels, file: Path) -> NDArray[np.uint8]:
    """Write the probabilities part by part, never all of them in memory; return the mask that they make."""
    mask = np.empty(image.shape[:2], np.uint8)
    shape = (len(model.class_names), *mask.shape)
    with atomic_file(file) as temporary:
        probabilities = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        for block in model.blocks(image):
            probabilities[:, block.rows, block.columns] = block.logits.softmax(0).cpu().numpy()
            mask[block.rows, block.columns] = block.logits.argmax(0).to(torch.uint8).cpu().numpy()
        probabilities.flush()
    return mask
