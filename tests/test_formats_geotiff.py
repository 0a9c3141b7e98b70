import io
from pathlib import Path

import numpy as np
import pytest
import tifffile

from segwright.errors import DataError
from segwright.formats.geotiff import ExtraTag, place_tags, write_geotiff_mask
from segwright.formats.masks import decode_mask

PIXEL_SCALE = (33550, "d", 3, (0.25, 0.5, 0.0), True)
TIEPOINT = (33922, "d", 6, (0.0, 0.0, 0.0, 398_000.0, 5_820_000.0, 0.0), True)
TRANSFORMATION = (34264, "d", 16, (2.0, 0.5, 0, 9e5, 0.5, -2.0, 0, 6e6, 0, 0, 0, 0, 0, 0, 0, 1), True)
KEYS = (34735, "H", 20, (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, 34737, 7, 0, 3072, 0, 1, 32633), True)
TEXTS = (34737, "s", 9, b"UTM 33N|\0", True)
KEYS_OF_GAUSS = (34735, "H", 12, (1, 1, 0, 2, 1024, 0, 1, 1, 1026, 34737, 13, 0), True)
PALETTE = np.array([[255, 0, 0], [0, 128, 255], [7, 8, 9]], np.uint8)
MASK = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (700, 1300)).repeat(2, axis=1)


def geotiff(*tags: ExtraTag, dtype: str = "uint8", bands: int = 3) -> bytes:
    stream = io.BytesIO()
    pixels = np.zeros((20, 30, bands), dtype)
    photometric = "rgb" if bands == 3 else "minisblack"
    tifffile.imwrite(stream, pixels, photometric=photometric, planarconfig="contig", extratags=tags)
    return stream.getvalue()


@pytest.mark.parametrize("place", [(PIXEL_SCALE, TIEPOINT, KEYS, TEXTS), (TRANSFORMATION, KEYS), (TIEPOINT,)])
def test_a_mask_lies_where_its_image_lies(place: tuple[ExtraTag, ...], tmp_path: Path) -> None:
    tags = place_tags(geotiff(*place), "x")
    write_geotiff_mask(tmp_path / "mask.tif", MASK, PALETTE, tags)
    with tifffile.TiffFile(tmp_path / "mask.tif") as file:
        full, *overviews = (page.aspage() for page in file.pages)
        assert full.tags[42113].value == "255"
        assert (full.compression, full.photometric, full.tilewidth) == (8, 3, 512)
        assert [page.shape for page in overviews] == [(350, 1300), (175, 650), (88, 325)]
        assert all(page.is_reduced and page.is_tiled for page in overviews) and not full.is_reduced
        assert (full.asarray() == MASK).all()
        assert (overviews[1].asarray() == MASK[::4, ::4]).all()
        assert full.colormap is not None
        colours = full.colormap[:, [0, 1, 2, 255]].T // 257
        assert colours.tolist() == [*PALETTE.tolist(), [224, 224, 192]]
    assert [(tag[0], tag[3]) for tag in tags] == [(tag[0], tag[3]) for tag in place]
    assert place_tags((tmp_path / "mask.tif").read_bytes(), "mask.tif") == tags


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_that_is_not_ascii_keeps_its_bytes(encoding: str, tmp_path: Path) -> None:
    name = "Gauß-Krüger |".encode(encoding) + b"\0"
    image = geotiff(PIXEL_SCALE, TIEPOINT, KEYS_OF_GAUSS, (34737, "s", len(name), name, True))
    write_geotiff_mask(tmp_path / "mask.tif", MASK, PALETTE, place_tags(image, "x"))
    assert name in (tmp_path / "mask.tif").read_bytes()
    assert place_tags((tmp_path / "mask.tif").read_bytes(), "mask.tif")[-1][3] == name


def test_it_is_read_as_any_mask(tmp_path: Path) -> None:
    write_geotiff_mask(tmp_path / "mask.tif", MASK, PALETTE, place_tags(geotiff(TIEPOINT, PIXEL_SCALE, KEYS), "x"))
    decoded = decode_mask((tmp_path / "mask.tif").read_bytes(), "mask.tif")
    assert (decoded.numbers == MASK).all() and decoded.notes == ()


def test_without_a_place_there_are_no_tags() -> None:
    assert place_tags(geotiff(), "x") == ()
    assert place_tags(geotiff(PIXEL_SCALE, KEYS), "x") == (), "a scale alone places nothing"
    assert len(place_tags(geotiff(PIXEL_SCALE, TIEPOINT, dtype="float32", bands=7), "x")) == 2
    with pytest.raises(DataError, match=r"x is a TIFF file that is damaged"):
        place_tags(geotiff()[:9], "x")


def test_rasterio_sees_the_same_place_and_the_same_pixels(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "width": MASK.shape[1], "height": MASK.shape[0], "count": 4, "dtype": "uint16"}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.25, 0.01, 398_000, 0.02, -0.5, 5_820_000)}
    with rasterio.open(tmp_path / "image.tif", "w", **profile, **place) as image:
        image.write(np.ones((4, *MASK.shape), np.uint16))
    tags = place_tags((tmp_path / "image.tif").read_bytes(), "image.tif")
    write_geotiff_mask(tmp_path / "mask.tif", MASK, PALETTE, tags)
    with rasterio.open(tmp_path / "image.tif") as image, rasterio.open(tmp_path / "mask.tif") as mask:
        assert (mask.crs, mask.transform) == (image.crs, image.transform)
        assert mask.crs.to_epsg() == 32633
        assert (mask.read(1) == MASK).all()
        assert (mask.nodata, mask.block_shapes, mask.overviews(1)) == (255, [(512, 512)], [2, 4, 8])
        assert mask.compression.name == "deflate"
        assert mask.colormap(1)[1] == (0, 128, 255, 255)
        assert mask.tags().get("AREA_OR_POINT") == image.tags().get("AREA_OR_POINT")
