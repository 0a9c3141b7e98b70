"""SageMaker Ground Truth: the output manifest of a labelling job, whose colour maps may differ from line to line.

Source: SageMaker's contract, section 2.3.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from segwright.data.lists import referred
from segwright.errors import DataError
from segwright.formats.manifest import ClassColour, ManifestLine, choose_attributes, colour_map, read_manifest
from segwright.formats.masks import decode_mask
from segwright.importers.dataset import ImportedData, ImportedPair, checked_names
from segwright.importers.drawing import Drawing
from segwright.importers.files import warn_left_out
from segwright.importers.geometry import ImageGeometry, mask_frame
from segwright.importers.images import FoundImage, find_images, strip_common_folder
from segwright.labels import IGNORE
from segwright.palettes import default_palette
from segwright.storage import Blob, open_blob, parse_location

REPAIRED: Final = "masks whose palette disagrees with internal-color-map or is missing, read by their colours"
UNNAMED: Final = "pixels of indices or colours that internal-color-map does not name, ignored"

ColourMap = Mapping[int, ClassColour]
"""The classes and colours of one line, by index."""


def read_ground_truth(source: str, attributes: Sequence[str] | None = None, images: Path | None = None) -> ImportedData:
    """Read an output manifest here or in S3, with the classes of all its colour maps by their names.

    Images lie where its references lead, or below `images`. Lines without a mask, whose labelling failed, are left out
    with a warning. Raises DataError for a manifest that cannot be read, without masks, or without a colour map.
    """
    location = parse_location(source)
    lines = read_manifest(open_blob(location).read(), source)
    labelled = [line for line in lines if _has_mask(line, attributes)]
    if not labelled:
        wanted = f" ({', '.join(attributes[:2])})" if attributes else ""
        raise DataError(f"{source} has no line with an image and a mask{wanted}: give the manifest of a finished job.")
    names = choose_attributes(labelled, attributes, source)
    unlabelled = sorted({line.number for line in lines} - {line.number for line in labelled})
    warn_left_out(source, "line", unlabelled, "without a mask, as labelling failed or is not done", len(lines))
    known: dict[str, ColourMap] = {}  # a job repeats its colour map in each line
    metadata = names.metadata or f"{names.mask}-metadata"
    found = [_colour_map(line, metadata, source) for line in labelled]
    maps = [known.setdefault(repr(colours), colours) for colours in found]
    entries = [entry for colours in known.values() for entry in colours.values()]
    class_names = checked_names(dict.fromkeys(entry.name for entry in entries), source)
    classes = {name: number for number, name in enumerate(class_names)}
    palette = default_palette(len(classes))
    for entry in reversed(entries):
        if entry.colour:
            palette[classes[entry.name]] = entry.colour
    masks = [referred(line, names.mask, location) for line in labelled]
    pairs = [
        ImportedPair(image.name, image.blob, partial(_draw, mask, colours, classes), frame=partial(mask_frame, mask))
        for image, mask, colours in zip(_images(labelled, names.image, source, images), masks, maps, strict=True)
        if image
    ]
    return ImportedData(tuple(pairs), class_names, palette)


def _has_mask(line: ManifestLine, attributes: Sequence[str] | None) -> bool:
    """Whether a line has the two references that a pair needs."""
    if attributes:
        return all(line.attributes.get(name) for name in attributes[:2])
    return sum(name.endswith("-ref") and bool(value) for name, value in line.attributes.items()) >= 2


def _images(lines: Sequence[ManifestLine], attribute: str, source: str, folder: Path | None) -> list[FoundImage | None]:
    """The image of each line: where its reference leads, or below a folder, if it is there."""
    if folder:
        stated = [str(line.attributes[attribute]) for line in lines]
        found = find_images(stated, [folder], folder, source)
        return [found.get(path) for path in stated]
    blobs = [referred(line, attribute, parse_location(source)) for line in lines]
    return [*map(FoundImage, strip_common_folder([blob.name for blob in blobs]), blobs)]


def _colour_map(line: ManifestLine, attribute: str, source: str) -> ColourMap:
    where = f"{source}, line {line.number}, {attribute}"
    colours = colour_map(line.attributes.get(attribute, {}), where)
    if not colours:
        cure = "add it, or train on the manifest itself with a label map"
        raise DataError(f"{where} has no internal-color-map, which names the classes of the mask: {cure}.")
    return {index: ClassColour(entry.name.strip(), entry.colour) for index, entry in sorted(colours.items())}


def _draw(blob: Blob, colours: ColourMap, classes: Mapping[str, int], geometry: ImageGeometry) -> Drawing:
    palette_classes = tuple((index, entry.colour) for index, entry in colours.items() if entry.colour is not None)
    indices, _, repaired = decode_mask(blob.read(), blob.name, palette_classes)
    geometry.check_size(indices.shape, blob.name)
    table = np.full(1 << 16, IGNORE, np.uint8)
    table[list(colours)] = [classes[entry.name] for entry in colours.values()]
    mask = table[indices]
    return Drawing(mask, Counter({REPAIRED: int(repaired), UNNAMED: int((mask == IGNORE).sum())}))
