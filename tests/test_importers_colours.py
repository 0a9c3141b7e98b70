"""Colour masks with a table."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.errors import DataError, LabelError, OutputExistsError
from segwright.formats.masks import decode_mask
from segwright.importers import FormatOptions, import_data
from segwright.importers.colours import read_colour_table
from segwright.labels import IGNORE, LabelMap, read_class_names
from tests.helpers.imported import HEIGHT, WIDTH, Palette, checked, halves, masks, names, painted, save_image, save_mask

COLOURS: Palette = ((128, 64, 128), (70, 130, 180), (0, 0, 0))
TABLE = "128 64 128\tRoad\n70 130 180\tthe sky\n0 0 0\t\tVoid\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, colour masks and a table, as CamVid has them."""
    for number in range(4):
        save_image(tmp_path / "images" / f"0 {number}.png", seed=number)
        mask = halves(number % 2, 1 - number % 2)
        mask[0] = 2
        save_mask(tmp_path / "masks" / f"0 {number}_L.png", painted(mask, COLOURS))
    (tmp_path / "colours.txt").write_text(TABLE)
    return tmp_path


def import_colours(folder: Path, table: str | None = None, overwrite: bool = False) -> Path:
    if table is not None:
        (folder / "colours.txt").write_text(table)
    options = FormatOptions(masks=folder / "masks", colours=folder / "colours.txt")
    import_data("colours", str(folder / "images"), folder / "out", options=options, overwrite=overwrite)
    return folder / "out"


def test_colours_become_classes_in_the_order_of_the_table(folder: Path) -> None:
    output = import_colours(folder)
    data = checked(output)
    assert data.class_names == ("Road", "the sky")
    assert data.palette.tolist() == [list(colour) for colour in COLOURS[:2]]
    for key, mask in masks(output).items():
        expected = halves(int(key[-1]) % 2, 1 - int(key[-1]) % 2)
        expected[0] = IGNORE
        np.testing.assert_array_equal(mask, expected)


def test_the_output_is_that_of_sagemaker_with_a_map_that_leaves_nothing_to_guess(folder: Path) -> None:
    output = import_colours(folder)
    images = {name for name in names(output) if name.startswith(("train/", "validation/"))}
    assert len(images) == 4
    assert names(output) - images == {
        *(name.replace("/", "_annotation/") for name in images),
        "label_map/class_names.json",
        "label_map/train_label_map.json",
        "label_map/validation_label_map.json",
        "import.json",
    }
    for name in images:
        assert (output / name).read_bytes() == (folder / "images" / Path(name).name).read_bytes()
    for split in ("train", "validation"):
        assert LabelMap.read(output / "label_map" / f"{split}_label_map.json") == LabelMap(values=((0, 0), (1, 1)))
    assert read_class_names(output / "label_map" / "class_names.json") == ("Road", "the sky")


def test_palette_and_grey_masks_are_read_by_colour_too(folder: Path) -> None:
    save_mask(folder / "masks" / "0 0_L.png", halves(1, 0), palette=((70, 130, 180), (128, 64, 128)))
    save_mask(folder / "masks" / "0 1_L.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    found = masks(import_colours(folder))
    np.testing.assert_array_equal(found["0 0"], halves(0, 1))
    assert (found["0 1"] == IGNORE).all()


def test_an_unknown_colour_is_named_with_its_file_count_and_neighbour(folder: Path) -> None:
    pixels = painted(halves(0, 1), COLOURS)
    pixels[2, :3] = (70, 131, 179)
    save_mask(folder / "masks" / "0 2_L.png", pixels)
    with pytest.raises(
        DataError, match=r"0 2_L.png: 3 pixels have the colour 70 131 179 \(#4683b3\).* 70 130 180 \(#4682b4\)"
    ) as caught:
        import_colours(folder)
    assert "call void what is to be ignored" in str(caught.value)
    assert not (folder / "out").exists()


def test_a_mask_of_mixed_colours_is_told_to_be_exported_anew(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(-3, 4, (HEIGHT, WIDTH, 3))
    save_mask(folder / "masks" / "0 2_L.png", (painted(halves(0, 1), COLOURS) + noise).clip(0, 255).astype(np.uint8))
    with pytest.raises(
        DataError, match=r"other unknown colours occur. Colours were mixed .* export the masks anew as PNG"
    ):
        import_colours(folder)


def test_jpeg_masks_are_left_out_and_refused_where_there_are_no_others(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        Image.fromarray(painted(halves(0, 1), COLOURS)).save(folder / "masks" / f"0 {number}_L.jpg")
        (folder / "masks" / f"0 {number}_L.png").unlink()
    with pytest.raises(DataError, match=r"masks holds no masks but JPEG or WebP files, whose compression changes"):
        import_colours(folder)
    for number in range(4):
        (folder / "masks" / f"0 {number}_L.jpg").rename(folder / "masks" / f"0 {number}_L.png")
    with pytest.raises(DataError, match=r"0 \d_L.png is a JPEG file, whose compression changes colours"):
        import_colours(folder)
    for number in range(3):
        save_mask(folder / "masks" / f"0 {number}_L.png", painted(halves(0, 1), COLOURS))
    assert set(masks(import_colours(folder))) == {"0 0", "0 1", "0 2"}
    assert "1 of 4 pairs left out, not readable" in caplog.text
    assert "0 3_L.png is a JPEG file, whose compression changes colours" in caplog.text


def test_sizes_that_differ_are_refused(folder: Path) -> None:
    save_mask(folder / "masks" / "0 1_L.png", painted(halves(0, 1, WIDTH, HEIGHT), COLOURS))
    with pytest.raises(
        DataError, match=r"0 1_L.png is of 6x8 pixels, but its image is of 8x6. Width and height are exchanged"
    ):
        import_colours(folder)


def test_unpaired_files_are_left_out_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_image(folder / "images" / "alone.png")
    assert set(masks(import_colours(folder))) == {"0 0", "0 1", "0 2", "0 3"}
    assert "1 image left out, without a mask: " in caplog.text and "alone.png" in caplog.text
    (folder / "images" / "alone.png").unlink()
    save_mask(folder / "masks" / "lonely_L.png", painted(halves(0, 1), COLOURS))
    assert set(masks(import_colours(folder, overwrite=True))) == {"0 0", "0 1", "0 2", "0 3"}
    assert "1 mask left out, without an image: " in caplog.text and "lonely_L.png" in caplog.text


def test_nothing_that_pairs_is_an_error(folder: Path) -> None:
    for mask in (folder / "masks").iterdir():
        mask.rename(mask.with_name(f"mask {mask.name}"))
    with pytest.raises(DataError, match="None of the 4 images"):
        import_colours(folder)


def test_an_earlier_import_is_replaced_only_when_asked_and_nothing_else_ever(folder: Path) -> None:
    output = import_colours(folder)
    before = names(output)
    with pytest.raises(OutputExistsError, match="overwrite"):
        import_colours(folder)
    assert names(import_colours(folder, overwrite=True)) == before
    (output / "import.json").unlink()
    with pytest.raises(OutputExistsError, match=r"no import\.json"):
        import_colours(folder, overwrite=True)


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        "Road 128 64 128\nthe sky 70 130 180\nVOID 0 0 0\n",
        "name,r,g,b\nRoad, 128, 64, 128\nthe sky,70,130,180\nvoid,0,0,0\n",
        "class,hex\nRoad,#804080\nthe sky,#4682b4\nvoid,#000000\n",
        "r,g,b,name\n128,64,128,Road\n70,130,180,the sky\n0,0,0,void\n",
        ',"name","r","g","b"\n0,"Road",128,64,128\n1,"the sky",70,130,180\n2,"void",0,0,0\n',
        "# CVAT\nRoad:128,64,128::\nthe sky:70,130,180:sun,moon:\nignored:0,0,0::\n",
        "\nRoad, #804080\n\nthe sky: #4682B4\n__ignore__ #000000",
        "#804080 Road\n#4682b4 the sky\n#000000 ignore",
        '{"Road": [128, 64, 128], "the sky": "#4682b4", "Void": [0, 0, 0]}',
    ],
)
def test_colour_tables_are_read_as_people_write_them(table: str) -> None:
    classes = read_colour_table(table, "table")
    assert classes.names == ("Road", "the sky")
    assert classes.palette.tolist() == [[128, 64, 128], [70, 130, 180]]
    assert classes.table.classes(np.array([COLOURS], np.uint8)).tolist() == [[0, 1, IGNORE]]


def test_several_colours_may_share_a_class() -> None:
    classes = read_colour_table("1 1 1 a\n2 2 2 b\n3 3 3 a", "table")
    assert classes.names == ("a", "b")
    assert classes.palette.tolist() == [[1, 1, 1], [2, 2, 2]]
    assert classes.table.classes(np.array([[[3, 3, 3]]], np.uint8)).tolist() == [[0]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("road 1 2\n", "table, line 1 is 'road 1 2'"),
        ("a 1 2 3\n1 2 3 4", "line 2 is '1 2 3 4'"),
        ("0,128,64,128,road", "table, line 1 is '0,128,64,128,road'"),
        ("a 1 2 256", "line 1: a colour has the values 1, 2, 256"),
        ("a 1 2 3\nb 1 2 3", r"gives the colour 1 2 3 \(#010203\) to 'a' and to 'b'"),
        ('{"a": [1, 2]}', r"table, 'a' is \[1, 2\]"),
        ('{"a": [1, 2, 3.5]}', "a colour is"),
        ('{"a": "red"}', "a colour is"),
        ("{", "not valid JSON"),
    ],
)
def test_tables_that_cannot_be_read_name_the_line(table: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_colour_table(table, "table")


def test_tables_without_a_class_and_with_too_many_are_refused() -> None:
    with pytest.raises(LabelError, match="0 class names"):
        read_colour_table("0 0 0 void", "table")
    with pytest.raises(LabelError, match="255 class names; 1 to 254"):
        read_colour_table("\n".join(f"class{index} {index} 0 0" for index in range(255)), "table")


def test_masks_are_palette_images_with_the_formats_colours(folder: Path) -> None:
    mask = next((import_colours(folder) / "train_annotation").iterdir())
    with Image.open(mask) as picture:
        assert picture.mode == "P"
        assert (picture.getpalette() or [])[:6] == [128, 64, 128, 70, 130, 180]
    assert decode_mask(mask.read_bytes(), mask.name).numbers.dtype == np.uint8
