from pathlib import Path

import numpy as np
import pytest

from segwright.errors import DataError
from segwright.importers import FormatOptions, import_data
from segwright.labels import IGNORE
from tests.helpers.imported import checked, halves, masks, names, save_image, save_mask


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


def test_cityscapes_refuses_classes_of_ones_own_and_masks_that_ignore_everything(tmp_path: Path) -> None:
    root = cityscapes(tmp_path / "data")
    for mask in (root / "gtFine").rglob("*.png"):
        save_mask(mask, halves(0, 5))
    with pytest.raises(DataError, match=r"^All pixels of all 3 masks are ignored, so there is nothing to learn"):
        import_data("cityscapes", str(root), tmp_path / "out")
    (root / "label_colors.txt").write_text("0 0 0 background\n250 50 83 car\n")
    with pytest.raises(DataError, match=r"label_colors.txt names classes of your own.*give it to import-data voc"):
        import_data("cityscapes", str(root), tmp_path / "out")
