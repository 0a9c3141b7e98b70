import numpy as np
from PIL import Image

from segwright.formats.masks import decode_mask
from segwright.labels import IGNORE
from tests.helpers.images import saved

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
LEGEND = ((0, RED), (1, GREEN), (2, BLUE))


def palette_png(indices: list[list[int]], *colours: tuple[int, int, int]) -> bytes:
    picture = Image.fromarray(np.array(indices, np.uint8))
    picture.putpalette([value for colour in colours for value in colour])
    return saved(picture)


def test_a_palette_that_agrees_changes_nothing() -> None:
    mask, _, repaired = decode_mask(palette_png([[0, 1, 2]], RED, GREEN, BLUE), "a", LEGEND)
    assert mask.tolist() == [[0, 1, 2]] and not repaired


def test_colours_overrule_indices() -> None:
    mask, _, repaired = decode_mask(palette_png([[0, 1, 2, 3]], BLUE, GREEN, RED, (9, 9, 9)), "a", LEGEND)
    assert mask.tolist() == [[2, 1, 0, 3]] and repaired


def test_a_colour_of_two_indices_tells_nothing() -> None:
    mask, _, repaired = decode_mask(palette_png([[0, 1]], GREEN, RED), "a", ((0, RED), (1, GREEN), (2, GREEN)))
    assert mask.tolist() == [[0, 0]] and repaired


def test_grey_masks_have_no_colours() -> None:
    mask, _, repaired = decode_mask(saved(Image.fromarray(np.array([[0, 2]], np.uint8))), "a", LEGEND)
    assert mask.tolist() == [[0, 2]] and not repaired


def test_what_is_to_be_ignored_stays_so_whatever_its_colour() -> None:
    picture = Image.fromarray(np.array([[0, 1, 255]], np.uint8))
    picture.putpalette([0, 0, 0, *RED, *[0] * 762])
    mask, _, repaired = decode_mask(saved(picture), "a", ((0, (0, 0, 0)), (1, RED)))
    assert mask.tolist() == [[0, 1, IGNORE]] and not repaired


def test_numbers_that_were_saved_as_grey_colours_stay_numbers() -> None:
    picture = Image.fromarray(np.array([[(0, 0, 0), (2, 2, 2), (255, 255, 255)]], np.uint8))
    mask, _, repaired = decode_mask(saved(picture), "a", LEGEND)
    assert mask.tolist() == [[0, 2, IGNORE]] and not repaired


def test_colour_images_are_read_by_colour() -> None:
    picture = Image.fromarray(np.array([[RED, BLUE, (1, 2, 3)]], np.uint8))
    mask, _, repaired = decode_mask(saved(picture), "a", LEGEND)
    assert mask.tolist() == [[0, 2, IGNORE]] and repaired
