"""SageMaker Ground Truth: the output manifest of a labelling job.

Knows that colour maps differ from line to line, and that some lines have no mask. Refuses to know how masks are read
whose palette disagrees with their colour map: `formats.legend` does.

Source: SageMaker's contract, section 2.3.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.data.manifests import referred
from segwright.errors import DataError
from segwright.formats.manifest import (
    Attributes,
    ClassColour,
    ManifestLine,
    choose_attributes,
    colour_map,
    read_manifest,
)
from segwright.formats.palette_repair import decode_with_legend
from segwright.importers.canvas import Canvas, mask_frame
from segwright.importers.dataset import ImportedData, ImportedPair, checked_names
from segwright.importers.drawing import Drawing
from segwright.importers.images import FoundImage, find_images, strip_common_folder
from segwright.labels import IGNORE
from segwright.palettes import default_palette
from segwright.storage import Blob, open_blob, parse_location
from segwright.wording import listed

logger = logging.getLogger(__name__)

REPAIRED: Final = "masks whose palette disagrees with internal-color-map or is missing, read by their colours"
UNNAMED: Final = "pixels of indices or colours that internal-color-map does not name, ignored"

_REFERENCE: Final = "-ref"

ColourMap = Mapping[int, ClassColour]
"""The classes and colours of one line, by index."""


def read_ground_truth(source: str, attributes: Sequence[str] | None = None, images: Path | None = None) -> ImportedData:
    """Read an output manifest here or in S3; its references are `s3://` addresses, or paths from its own folder. Images
    lie there, or below the folder `images`.

    The colour maps of all lines become one list of classes by their names. Lines without a mask, whose labelling
    failed, are left out with a warning. Raises DataError for a manifest that cannot be read, without masks, or
    without a colour map for a mask.
    """
    place = parse_location(source)
    lines = read_manifest(open_blob(place).read(), source)
    labelled = [line for line in lines if _may_have_mask(line, attributes)]
    if not labelled:
        wanted = f" ({', '.join(attributes[:2])})" if attributes else ""
        raise DataError(
            f"{source} has no line with an image and a mask{wanted}: give the output manifest of a finished job."
        )
    names = choose_attributes(labelled, attributes, source)
    _tell_left_out(lines, labelled, source)
    maps = _shared([_colour_map(line, names, source) for line in labelled])
    classes = _classes(maps, source)
    if images:
        stated = [str(line.attributes[names.image]) for line in labelled]
        found = find_images(stated, [images], images, source)
        pictures = [found.get(path) for path in stated]
    else:
        blobs = [referred(line, names.image, place) for line in labelled]
        pictures = list(map(FoundImage, strip_common_folder([blob.name for blob in blobs]), blobs))
    masks = [referred(line, names.mask, place) for line in labelled]
    pairs = [
        ImportedPair(
            picture.name, picture.image, partial(_draw, mask, colours, classes), frame=partial(mask_frame, mask)
        )
        for picture, mask, colours in zip(pictures, masks, maps, strict=True)
        if picture
    ]
    return ImportedData(tuple(pairs), tuple(classes), _palette(maps, classes))


def _may_have_mask(line: ManifestLine, attributes: Sequence[str] | None) -> bool:
    """Whether a line has the two references that a pair needs."""
    if attributes:
        return all(line.attributes.get(name) for name in attributes[:2])
    return sum(name.endswith(_REFERENCE) and bool(value) for name, value in line.attributes.items()) >= 2


def _tell_left_out(lines: Sequence[ManifestLine], labelled: Sequence[ManifestLine], source: str) -> None:
    numbers = sorted({line.number for line in lines} - {line.number for line in labelled})
    if numbers:
        logger.warning(
            f"{source}: {len(numbers)} of {len(lines)} lines have no mask, because their labelling failed or is not "
            f"done; they are left out: {listed(numbers, 5)}"
        )


def _colour_map(line: ManifestLine, names: Attributes, source: str) -> ColourMap:
    attribute = names.metadata or f"{names.mask}-metadata"
    where = f"{source}, line {line.number}, {attribute}"
    colours = colour_map(line.attributes.get(attribute, {}), where)
    if not colours:
        raise DataError(
            f"{where} has no internal-color-map, so the classes of the mask are not known: add it, or train on "
            "the manifest itself with a label map."
        )
    return {index: ClassColour(entry.name.strip(), entry.colour) for index, entry in sorted(colours.items())}


def _shared(maps: Iterable[ColourMap]) -> list[ColourMap]:
    """The same colour maps, equal ones as one object: a job repeats its own in each line."""
    known: dict[tuple[tuple[int, ClassColour], ...], ColourMap] = {}
    return [known.setdefault(tuple(colours.items()), colours) for colours in maps]


def _classes(maps: Iterable[ColourMap], source: str) -> dict[str, int]:
    """Numbers of all classes, by name, in the order in which the lines bring them up."""
    found = dict.fromkeys(entry.name for colours in maps for entry in colours.values())
    return {name: number for number, name in enumerate(checked_names(found, source))}


def _palette(maps: Iterable[ColourMap], classes: Mapping[str, int]) -> NDArray[np.uint8]:
    """The first colour of each class, [C, 3]."""
    palette = default_palette(len(classes))
    coloured: set[str] = set()
    for entry in (entry for colours in maps for entry in colours.values()):
        if entry.colour and entry.name not in coloured:
            palette[classes[entry.name]] = entry.colour
            coloured.add(entry.name)
    return palette


def _draw(blob: Blob, colours: ColourMap, classes: Mapping[str, int], canvas: Canvas) -> Drawing:
    legend = tuple((index, entry.colour) for index, entry in colours.items() if entry.colour is not None)
    indices, repaired = decode_with_legend(blob.read(), blob.name, legend)
    canvas.check_size(indices.shape, blob.name)
    table = np.full(1 << 16, IGNORE, np.uint8)
    for index, entry in colours.items():
        table[index] = classes[entry.name]
    mask = table[indices]
    remarks = {REPAIRED: int(repaired), UNNAMED: int((mask == IGNORE).sum())}
    return Drawing(mask, Counter(remarks))
