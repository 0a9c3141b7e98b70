"""Colour masks with a table, Pascal VOC and Cityscapes: masks that are pictures already."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.errors import DataError, LabelError, OutputExistsError
from segwright.formats.masks import decode_mask
from segwright.importers import FormatOptions, SplitOptions, import_data
from segwright.importers.colour_tables import read_colour_table
from segwright.importers.voc import CLASS_NAMES
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
    with pytest.raises(OutputExistsError, match="--overwrite"):
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


def voc(folder: Path, lists: bool = True) -> Path:
    root = folder / "VOCdevkit" / "VOC2012"
    for number in range(4):
        save_image(root / "JPEGImages" / f"2007_{number}.jpg", seed=number)
    save_image(root / "JPEGImages" / "no_mask.jpg")
    for number in range(4):
        mask = halves(number, 20)
        mask[0] = IGNORE
        save_mask(root / "SegmentationClass" / f"2007_{number}.png", mask, palette=[(9, 9, 9)] * 256)
    if lists:
        sets = root / "ImageSets" / "Segmentation"
        sets.mkdir(parents=True)
        (sets / "train.txt").write_text("2007_0\n2007_3\n")
        (sets / "val.txt").write_text("2007_2\n")
    return root


def test_voc_is_read_by_index_and_divided_by_its_own_lists(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    voc(tmp_path)
    import_data("voc", str(tmp_path), tmp_path / "out")
    data = checked(tmp_path / "out")
    assert data.class_names == CLASS_NAMES
    assert data.palette[[1, 15, 20]].tolist() == [[128, 0, 0], [192, 128, 128], [0, 64, 128]]
    assert "by the lists train.txt and val.txt: 1 pair left out, in neither split: 2007_1.jpg" in caplog.text
    assert [pair.key for pair in data.train.pairs] == ["2007_0", "2007_3"]
    assert [pair.key for pair in data.validation.pairs] == ["2007_2"]
    expected = halves(2, 20)
    expected[0] = IGNORE
    np.testing.assert_array_equal(masks(tmp_path / "out")["2007_2"], expected)


def test_a_list_of_ones_own_goes_before_vocs(tmp_path: Path) -> None:
    root = voc(tmp_path)
    (tmp_path / "mine.txt").write_text("2007_1\n")
    import_data("voc", str(root), tmp_path / "out", split=SplitOptions(validation_list=tmp_path / "mine.txt"))
    assert names(tmp_path / "out" / "validation") == {"2007_1.jpg"}
    assert len(names(tmp_path / "out" / "train")) == 3


def test_voc_masks_in_rgb_are_read_by_vocs_colours(tmp_path: Path) -> None:
    root = voc(tmp_path)
    pixels = painted(halves(0, 1), ((0, 0, 0), (192, 128, 128)))
    pixels[0] = (224, 224, 192)
    save_mask(root / "SegmentationClass" / "2007_0.png", pixels)
    import_data("voc", str(root), tmp_path / "out")
    expected = halves(0, 15)
    expected[0] = IGNORE
    np.testing.assert_array_equal(masks(tmp_path / "out")["2007_0"], expected)


def test_the_colours_of_a_labelmap_rule_over_indices(tmp_path: Path) -> None:
    root = voc(tmp_path, lists=False)
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:10,20,30::\n")
    for number in range(4):
        palette = [(10, 20, 30), (0, 0, 0)]
        save_mask(root / "SegmentationClass" / f"2007_{number}.png", halves(0, 1), palette)
    import_data("voc", str(root), tmp_path / "out")
    assert checked(tmp_path / "out").class_names == ("background", "cat")
    np.testing.assert_array_equal(masks(tmp_path / "out")["2007_1"], halves(1, 0))


def test_voc_errors_say_where_and_what_to_do(tmp_path: Path) -> None:
    root = voc(tmp_path)
    sets = root / "ImageSets" / "Segmentation"
    save_mask(root / "SegmentationClass" / "2007_0.png", halves(0, 37))
    with pytest.raises(DataError, match=r"2007_0.png holds the value 37 in 24 pixels.*labelmap.txt"):
        import_data("voc", str(root), tmp_path / "out")
    save_mask(root / "SegmentationClass" / "2007_0.png", painted(halves(0, 1), ((0, 0, 0), (1, 2, 3))))
    with pytest.raises(DataError, match=r"24 pixels have the colour 1 2 3 .*Pascal VOC does not name.*labelmap.txt"):
        import_data("voc", str(root), tmp_path / "out")
    (sets / "val.txt").write_text("2007_0\n")
    with pytest.raises(DataError, match=r"val.txt, line 1: '2007_0' is in train.txt as well"):
        import_data("voc", str(root), tmp_path / "out")
    for name in ("train.txt", "val.txt"):
        (sets / name).write_text("# a list\n\n2007_9\n")
    with pytest.raises(
        DataError, match=r"No line of the lists names an image with a mask: .*train.txt, line 3: '2007_9'"
    ):
        import_data("voc", str(root), tmp_path / "out")
    (root / "JPEGImages").rename(tmp_path / "photos")
    with pytest.raises(DataError, match=r"no folder JPEGImages: give the folder of images with --images DIR"):
        import_data("voc", str(root), tmp_path / "out")
    with pytest.raises(DataError, match="holds no folder SegmentationClass"):
        import_data("voc", str(tmp_path / "photos"), tmp_path / "out")
    (root / "SegmentationClass").rename(root / "Annotations")
    with pytest.raises(DataError, match="Its Annotations hold boxes, which have no outlines"):
        import_data("voc", str(root), tmp_path / "out")
    for year in ("VOC2007", "VOC2008"):
        save_mask(tmp_path / "VOCdevkit" / year / "SegmentationClass" / "0.png", halves(0, 1))
    with pytest.raises(DataError, match="several data sets"):
        import_data("voc", str(tmp_path), tmp_path / "out")


def test_voc_lists_are_read_as_people_write_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = voc(tmp_path, lists=False)
    sets = root / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    (sets / "default.txt").write_text("2007_0\n2007_1\n2007_2\n2007_3\n")
    assert import_data("voc", str(root), tmp_path / "out").divided == "drawn by seed 0"
    (sets / "Train.txt").write_bytes(b"\xef\xbb\xbf# CVAT\r\n2007_0.jpg\r\n\r\nJPEGImages/2007_1.jpg\r\n2007_9\r\n")
    lines = "/JPEGImages/2007_2.jpg /SegmentationClass/2007_2.png\n2007_3 1\n"
    (sets / "Validation.txt").write_text(lines)
    (sets / "._Validation.txt").write_bytes(b"\0\5\x16\7")
    summary = import_data("voc", str(root), tmp_path / "out", overwrite=True)
    assert summary.divided == "by the lists Train.txt and Validation.txt"
    assert names(tmp_path / "out" / "train") == {"2007_0.jpg", "2007_1.jpg"}
    assert names(tmp_path / "out" / "validation") == {"2007_2.jpg", "2007_3.jpg"}
    assert (
        "1 line left out, without an image that has a mask" in caplog.text
        and "Train.txt, line 5: '2007_9'" in caplog.text
    )


def test_cvats_masks_without_images_take_those_of_another_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """CVAT's "Segmentation mask 1.1", saved without images."""
    cvat = tmp_path / "cvat"
    for number in range(4):
        save_image(tmp_path / "photos" / f"f{number}.jpg", seed=number)
        pixels = painted(halves(number % 2, 2), [(40, 40, 40), (200, 60, 60), (60, 200, 60)])
        save_mask(cvat / "SegmentationClass" / f"f{number}.png", pixels)
        save_mask(cvat / "SegmentationObject" / f"f{number}.png", painted(halves(0, 1), [(0, 0, 0), (128, 0, 0)]))
    (tmp_path / "photos" / "f3.jpg").unlink()
    (cvat / "ImageSets" / "Segmentation").mkdir(parents=True)
    (cvat / "ImageSets" / "Segmentation" / "default.txt").write_text("f0\nf1\nf2\nf3\n")
    table = "# label:color_rgb:parts:actions\nbackground:40,40,40::\ncar:200,60,60::\ntree:60,200,60::\n"
    (cvat / "labelmap.txt").write_text(table)
    import_data("voc", str(cvat), tmp_path / "out", options=FormatOptions(images=tmp_path / "photos"))
    assert checked(tmp_path / "out").class_names == ("background", "car", "tree")
    found = masks(tmp_path / "out")
    assert set(found) == {"f0", "f1", "f2"}
    np.testing.assert_array_equal(found["f1"], halves(1, 2))
    assert "1 mask left out, without an image" in caplog.text and "f3.png" in caplog.text


def test_labelmes_export_to_voc_names_its_classes(tmp_path: Path) -> None:
    """What labelme2voc.py writes: NumPy arrays beside PNG files, and a list of classes."""
    for number in range(2):
        save_image(tmp_path / "in" / "JPEGImages" / f"{number}.jpg", seed=number)
        save_mask(tmp_path / "in" / "SegmentationClassPNG" / f"{number}.png", halves(2, IGNORE), [(9, 9, 9)] * 256)
        save_mask(tmp_path / "in" / "SegmentationClassVisualization" / f"{number}.png", halves(7, 7))
    (tmp_path / "in" / "SegmentationClass").mkdir()
    (tmp_path / "in" / "SegmentationClass" / "0.npy").write_bytes(b"")
    (tmp_path / "in" / "class_names.txt").write_text("_background_\nroad\ncar\n")
    import_data("voc", str(tmp_path / "in"), tmp_path / "out")
    data = checked(tmp_path / "out")
    assert data.class_names == ("_background_", "road", "car")
    np.testing.assert_array_equal(masks(tmp_path / "out")["0"], halves(2, IGNORE))


def test_where_no_file_names_the_classes_vocs_are_assumed_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "segwright"):
        import_data("voc", str(voc(tmp_path)), tmp_path / "out")
    assert "has no labelmap.txt: its classes are taken to be background and the twenty of Pascal VOC" in caplog.text
    assert "1 image left out, without a mask" in caplog.text


def cityscapes(root: Path, kind: str = "labelIds") -> Path:
    for split, city, number in (("train", "aachen", 7), ("train", "bochum", 33), ("val", "lindau", 23)):
        name = f"{city}_000000_000019"
        save_image(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png")
        mask = halves(number, 5)
        save_mask(root / "gtFine" / split / city / f"{name}_gtFine_{kind}.png", mask)
    save_image(root / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png")
    return root


def test_cityscapes_keeps_its_nineteen_classes_and_its_division(tmp_path: Path) -> None:
    cityscapes(tmp_path)
    import_data("cityscapes", str(tmp_path), tmp_path / "out")
    data = checked(tmp_path / "out")
    assert len(data.class_names) == 19
    assert (data.class_names[0], data.class_names[10], data.class_names[18]) == ("road", "sky", "bicycle")
    assert data.palette[[0, 10, 18]].tolist() == [[128, 64, 128], [70, 130, 180], [119, 11, 32]]
    found = masks(tmp_path / "out")
    assert set(names(tmp_path / "out" / "validation")) == {"lindau/lindau_000000_000019_leftImg8bit.png"}
    for city, index in (("aachen", 0), ("bochum", 18), ("lindau", 10)):
        np.testing.assert_array_equal(found[f"{city}/{city}_000000_000019_leftImg8bit"], halves(index, IGNORE))


def test_train_ids_of_cityscapes_are_read_where_label_ids_are_missing(tmp_path: Path) -> None:
    cityscapes(tmp_path, "labelTrainIds")
    with pytest.raises(DataError, match=r"labelTrainIds.png holds the value .. in 24 pixels; the train ids"):
        import_data("cityscapes", str(tmp_path), tmp_path / "out")
    for mask in tmp_path.rglob("*labelTrainIds.png"):
        save_mask(mask, halves(3, IGNORE))
    import_data("cityscapes", str(tmp_path), tmp_path / "out")
    assert all((mask == halves(3, IGNORE)).all() for mask in masks(tmp_path / "out").values())


def test_cityscapes_without_images_or_masks_says_what_to_unpack(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match=r"unpack leftImg8bit_trainvaltest\.zip"):
        import_data("cityscapes", str(tmp_path), tmp_path / "out")
    root = cityscapes(tmp_path / "data")
    next((root / "gtFine" / "train" / "aachen").iterdir()).unlink()
    import_data("cityscapes", str(root), tmp_path / "out")
    assert "1 of 3 images left out" in caplog.text
    for mask in (root / "gtFine").rglob("*.png"):
        mask.unlink()
    with pytest.raises(DataError, match=r"None of the 3 images has a mask such as .*_gtFine_labelIds.png"):
        import_data("cityscapes", str(root), tmp_path / "out2")


@pytest.mark.parametrize("below", ["leftImg8bit", "pictures/leftImg8bit", "pictures"])
def test_cityscapes_images_may_lie_elsewhere(tmp_path: Path, below: str) -> None:
    root = cityscapes(tmp_path / "data")
    (tmp_path / below).parent.mkdir(exist_ok=True)
    (root / "leftImg8bit").rename(tmp_path / below)
    images = tmp_path / below.split("/")[0]
    import_data("cityscapes", str(root), tmp_path / "out", options=FormatOptions(images=images))
    assert len(masks(tmp_path / "out")) == 3


def test_masks_are_palette_pictures_with_the_formats_colours(folder: Path) -> None:
    mask = next((import_colours(folder) / "train_annotation").iterdir())
    with Image.open(mask) as picture:
        assert picture.mode == "P"
        assert (picture.getpalette() or [])[:6] == [128, 64, 128, 70, 130, 180]
    assert decode_mask(mask.read_bytes(), mask.name).dtype == np.uint8


def test_cityscapes_refuses_classes_of_ones_own_and_masks_that_ignore_everything(tmp_path: Path) -> None:
    root = cityscapes(tmp_path / "data")
    for mask in (root / "gtFine").rglob("*.png"):
        save_mask(mask, halves(0, 5))
    with pytest.raises(DataError, match=r"^All pixels of all 3 masks are ignored, so there is nothing to learn"):
        import_data("cityscapes", str(root), tmp_path / "out")
    (root / "label_colors.txt").write_text("0 0 0 background\n250 50 83 car\n")
    with pytest.raises(DataError, match=r"label_colors.txt names classes of your own.*give it to import-data voc"):
        import_data("cityscapes", str(root), tmp_path / "out")
