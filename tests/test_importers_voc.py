"""Pascal VOC, and what CVAT and LabelMe export in its form."""

from pathlib import Path

import numpy as np
import pytest

from segwright.errors import DataError
from segwright.importers import FormatOptions, SplitOptions, import_data
from segwright.importers.voc import CLASS_NAMES
from segwright.labels import IGNORE
from tests.helpers.imported import checked, halves, masks, names, painted, save_image, save_mask


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
