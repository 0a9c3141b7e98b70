"""Images in folders to masks in a folder."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from segwright.checks.image_orientation import count_orientations
from segwright.checks.image_rules import NotedFile, describe_notes
from segwright.console import progress
from segwright.data.folders import list_images
from segwright.errors import DataError, OutputExistsError, UserError
from segwright.formats.geotiff import place_tags, write_geotiff_mask
from segwright.formats.images import EncodedImage, encode_png
from segwright.formats.masks import encode_mask
from segwright.formats.pixels import Note, PixelFormat
from segwright.inference.logits import assemble
from segwright.inference.model import Model, load
from segwright.labels import IGNORE
from segwright.storage import (
    Blob,
    FileBlob,
    atomic_file,
    check_replaceable,
    check_writable_folder,
    parse_location,
    path_below,
    write_bytes,
)
from segwright.visualization import OPACITY, choose_colours, displayable
from segwright.visualization import overlay as draw_overlay

logger = logging.getLogger(__name__)

Array = NDArray[np.uint8]
Images = Sequence[tuple[str, Blob]]
"""Images, and where their files are below the output: without suffix."""


def predict_files(
    bundle: Path | str,
    inputs: Sequence[Path | str],
    output: Path | str,
    *,
    overlay: bool = False,
    opacity: float | None = None,
    colours: Mapping[str, str] | None = None,
    probabilities: bool = False,
    unsure: float | None = None,
    device: str | None = None,
    precision: str = "auto",
    scale: float | None = None,
    tta: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the mask of every image below `inputs` to `output`, as `STEM.png` below the same sub-folders; those of
    GeoTIFFs as `STEM.tif`, in the same place (`formats.geotiff`). With `overwrite` the other of these two, which is an
    older mask, is removed.

    `overlay` adds `STEM.overlay.png`, in which colours have an `opacity` from 0 to 1, by default 0.5, and background
    stays the image (`visualization.background`); `probabilities` adds `STEM.npy`, float32 [C, H, W]. Pixels whose
    highest probability is below `unsure`, 0 to 1, become 255 in masks. `precision`, `scale` and `tta` are those of
    `load`. `colours` are of classes, by name or index, and replace those of the model (`visualization.choose_colours`).
    An image that cannot be read, or whose name leads out of `output`, does not stop the others.

    Raises OutputExistsError when `output` may not be written to, UserError for a colour, opacity or `unsure` that is
    none, DataError when two images would write the same file or, at the end, when some could not be predicted.
    """
    _check_opacity(opacity, overlay)
    if unsure is not None and not 0 <= unsure <= 1:
        raise UserError(f"unsure is {unsure}; it takes a number from 0 to 1.", name="unsure", value=unsure)
    output = Path(output)
    check_replaceable(output, overwrite)
    check_writable_folder(output)
    suffixes = [".png", ".tif", *[".overlay.png"] * overlay, *[".npy"] * probabilities]
    images = _list_images(inputs, output)
    _check_collisions(images, suffixes)
    model = load(bundle, device, precision, scale=scale, tta=tta)
    palette, clear = choose_colours(model.palette, model.class_names, colours or {})
    draw = partial(draw_overlay, palette=palette, opacity=OPACITY if opacity is None else opacity, clear=clear)

    left_out, pixels = 0, 0

    def predict(stem: str, blob: Blob) -> tuple[int, Sequence[Note]]:
        nonlocal left_out, pixels
        files = _output_files(output, stem, blob, suffixes, overwrite)
        mask, orientation, notes = _predict(model, blob, files, palette, draw, unsure or 0.0)
        left_out, pixels = left_out + int(np.count_nonzero(mask == IGNORE)), pixels + mask.size
        return orientation, notes

    failed, turned, noted = _predict_all(images, predict)
    logger.info(f"wrote the masks of {len(images) - failed} of {len(images)} images to {output}")
    if unsure is not None:
        share = 100 * left_out / max(pixels, 1)
        unfitted = "" if model.description.temperature else "; the model has no temperature: they are often too high"
        logger.info(f"{share:.1f} % of the pixels are 255, all probabilities there being below {unsure:g}{unfitted}")
    _log_notes(noted, turned, len(images), model.pixel_format)
    if failed:
        raise DataError(f"{failed} of {len(images)} images could not be predicted; the warnings above name them")


def _check_opacity(opacity: float | None, overlay: bool) -> None:
    if opacity is not None and not (overlay and 0 <= opacity <= 1):
        allowed = "a number from 0 to 1" if overlay else "no value without overlay, which it is for"
        raise UserError(f"opacity is {opacity}; it takes {allowed}.", name="opacity", value=opacity)


def _predict_all(
    images: Images, predict: Callable[[str, Blob], tuple[int, Sequence[Note]]]
) -> tuple[int, list[tuple[str, int]], list[NotedFile]]:
    """Predict each image; return how many failed, and the orientations and notes of the others."""
    failed, turned, noted = 0, list[tuple[str, int]](), list[NotedFile]()
    with progress("predicting", len(images), every=20) as advance:
        for stem, blob in images:
            try:
                orientation, notes = predict(stem, blob)
                turned += [(blob.name, orientation)] * (orientation > 1)
                noted += [NotedFile(blob.name, note) for note in notes]
            except UserError as error:
                logger.warning(str(error))
                failed += 1
            advance(1, "images")
    return failed, turned, noted


def _log_notes(
    noted: Sequence[NotedFile], turned: Sequence[tuple[str, int]], images: int, pixel_format: PixelFormat
) -> None:
    """Log what decoders had to say of files, and which orientations were noted in them."""
    for finding in describe_notes(noted, "image", images, "predict"):
        logger.log(logging.WARNING if finding.severity == "warning" else logging.INFO, "%s", finding)
    if turned:
        read = "turned upright" if pixel_format.exif_transposed else "read as stored, without turning"
        logger.info(f"{count_orientations(turned, images)}: {read}, and so are the masks")


def _list_images(inputs: Sequence[Path | str], output: Path) -> Images:
    """List the images, without those that an earlier run left in an output folder below an input folder."""
    locations = [parse_location(path) for path in inputs]
    target = output.resolve()
    if target in {path.resolve() for path in locations if isinstance(path, Path)}:
        raise OutputExistsError(f"{output} is also the input, where masks would replace images: choose another output")
    return list_images(locations, without=target)


def _check_collisions(images: Images, suffixes: Sequence[str]) -> None:
    """Raise DataError where two images would write the same file, or one a file where another needs a folder."""
    cure = "rename one of them, or predict them into two folders"
    written: dict[str, str] = {}
    for stem, blob in images:
        for suffix in suffixes:
            other = written.setdefault(stem + suffix, blob.name)
            if other != blob.name:
                raise DataError(f"{other} and {blob.name} would both be written to {stem + suffix}: {cure}")
    for stem, blob in images:
        for folder in map(str, PurePosixPath(stem).parents):
            if folder in written:
                raise DataError(
                    f"{written[folder]} would be written to {folder}, which has to be a folder for {blob.name}: {cure}"
                )


def _output_files(output: Path, stem: str, blob: Blob, suffixes: Sequence[str], overwrite: bool) -> Mapping[str, Path]:
    """The files of one image, by suffix. Raises DataError for a name that is none below `output`, and for a file that
    would be replaced without `overwrite`, or that is the image.
    """
    try:
        files = {suffix: path_below(output, stem + suffix) for suffix in suffixes}
    except UserError as error:
        raise DataError(f"{blob.name} is not predicted: {error} Rename it.") from None
    if isinstance(blob, FileBlob) and blob.path.resolve() in {file.resolve() for file in files.values()}:
        raise DataError(f"{blob.name} is not predicted: its mask would take its place. Choose another output.")
    there = [] if overwrite else [str(file) for file in files.values() if os.path.lexists(file)]
    if there:  # The output was empty, so this is a file system to which the names of two images are one.
        raise DataError(f"{blob.name} is not predicted: {there[0]} was written in the meantime. Rename one of the two.")
    return files


def _predict(
    model: Model,
    blob: Blob,
    files: Mapping[str, Path],
    palette: Array,
    draw: Callable[[Array, Array], Array],
    unsure: float,
) -> tuple[Array, int, tuple[Note, ...]]:
    """Write the files of one image; return its mask and EXIF orientation, and what was dropped of it or assumed."""
    encoded = EncodedImage(blob.read(), blob.name)
    image = encoded.decode(model.pixel_format)
    files[".png"].parent.mkdir(parents=True, exist_ok=True)
    mask, temperature = np.empty(image.shape[:2], np.uint8), model.temperature
    if ".npy" in files:  # block by block, never all probabilities in memory
        with atomic_file(files[".npy"]) as temporary:
            shape = (len(model.class_names), *mask.shape)
            probabilities = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            assemble(model.blocks(image), mask, probabilities, temperature=temperature, unsure=unsure)
            probabilities.flush()
    else:
        assemble(model.blocks(image), mask, temperature=temperature, unsure=unsure)
    turned = model.pixel_format.exif_transposed and encoded.orientation > 1
    place = place_tags(encoded.data, encoded.name) if encoded.container == "TIFF" and not turned else ()
    if place:
        with atomic_file(files[".tif"]) as temporary:
            write_geotiff_mask(temporary, mask, palette, place)
    else:
        write_bytes(files[".png"], encode_mask(mask, palette))
    older = files[".png" if place else ".tif"]
    if older.is_file():  # `_output_files` has left it to be overwritten
        older.unlink()
        logger.info(f"removed {older}, an older mask of {blob.name}")
    if ".overlay.png" in files:
        write_bytes(files[".overlay.png"], encode_png(draw(displayable(image), mask)))
    return mask, encoded.orientation, encoded.notes(model.pixel_format.bands)
