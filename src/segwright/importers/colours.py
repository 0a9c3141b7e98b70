"""A folder of images, a folder of colour masks and a table of colours.

Knows how masks are named beside their images. Refuses to know how tables and colours are read.
"""

import logging
from collections import Counter
from collections.abc import Collection
from functools import partial
from pathlib import Path, PurePath

from segwright.data.folders import list_images
from segwright.errors import DataError
from segwright.importers.by_colour import draw_by_colour
from segwright.importers.canvas import mask_frame
from segwright.importers.colour_tables import read_colour_table
from segwright.importers.dataset import ImportedData, ImportedPair
from segwright.importers.files import read_text
from segwright.wording import listed

logger = logging.getLogger(__name__)


def read_colours(source: Path, masks: Path, colours: Path) -> ImportedData:
    """Pair images and masks by their paths without ending; all masks may add the same word, as in CamVid's
    `01_L.png`.

    What has no partner is left out with a warning. Raises DataError where nothing pairs, and for a table that
    cannot be read.
    """
    images, table = source, colours
    classes = read_colour_table(read_text(table), str(table))
    image_files, mask_files = dict(list_images([images])), dict(list_images([masks]))
    added = _added_word(image_files, mask_files)
    keys = [key for key in image_files if f"{key}{added}" in mask_files]
    if not keys:
        raise DataError(
            f"None of the {len(image_files)} images in {images} has a mask in {masks}, which holds {len(mask_files)}: "
            "a mask has the name of its image, as in street/01.jpg and street/01.png."
        )
    _tell_unpaired("images have no mask", set(image_files) - set(keys), images)
    _tell_unpaired("masks have no image", set(mask_files) - {f"{key}{added}" for key in keys}, masks)
    pairs = [
        ImportedPair(
            f"{key}{PurePath(image_files[key].name).suffix}",
            image_files[key],
            partial(draw_by_colour, mask_files[f"{key}{added}"], table=classes.table, origin=str(table)),
            frame=partial(mask_frame, mask_files[f"{key}{added}"]),
        )
        for key in keys
    ]
    return ImportedData(tuple(pairs), classes.names, classes.palette)


def _added_word(images: Collection[str], masks: Collection[str]) -> str:
    """What most masks have at the end of the names of their images; nothing where names are the same."""
    words = Counter(mask[length:] for mask in masks for length in range(len(mask), 0, -1) if mask[:length] in images)
    return "" if words[""] or not words else words.most_common(1)[0][0]


def _tell_unpaired(what: str, keys: Collection[str], folder: Path) -> None:
    if keys:
        logger.warning(f"{folder}: {len(keys)} {what} and are left out: {listed(sorted(keys))}")
