"""Photographs that a camera noted as turned: a picture of a red box, stored so that its orientation stands it upright,
and labels of the box, over the stored pixels or over the upright picture. Masks have to cover what is red as stored.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.formats.exif import transpose
from segwright.importers import FormatOptions, import_data
from segwright.storage.blobs import FileBlob
from tests.helpers.imported import save_mask

UPRIGHT = (60, 40)  # height, width: a portrait
SQUARE = (40, 40)
LOW = (8, 40, 20, 56)  # left, top, right, bottom: below all rows of the stored landscape
HIGH = (8, 10, 20, 30)
RED = (220, 30, 30)
COUNT = "Images with an EXIF orientation: {} of {}"
Box = tuple[int, int, int, int]
Export = Callable[[Path, "list[Photo]"], list[str]]


class Photo:
    """A picture in a folder, the red region of its stored pixels, and that of the upright picture."""

    def __init__(self, folder: Path, name: str, orientation: int, box: Box, size: tuple[int, int] = UPRIGHT) -> None:
        left, top, right, bottom = box
        self.name, self.box = name, box
        self.upright = np.zeros(size, np.uint8)
        self.upright[top:bottom, left:right] = 1
        back = {6: 8, 8: 6}.get(orientation, orientation)
        self.stored = transpose(self.upright[..., None], back)[..., 0]
        pixels = np.where(self.stored[..., None] == 1, RED, (20, 90, 90)).astype(np.uint8)
        exif = Image.Exif()
        exif[274] = orientation
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name, exif=exif, quality=95)

    def over(self, frame: str) -> NDArray[np.uint8]:
        """The region over the stored pixels or over the upright picture."""
        return self.stored if frame == "stored" else self.upright

    def box_over(self, frame: str) -> Box:
        rows, columns = np.nonzero(self.over(frame))
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def corners(box: Box) -> list[list[int]]:
    left, top, right, bottom = box
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def imported(output: Path) -> dict[str, NDArray[np.uint8]]:
    return {path.name: np.array(Image.open(path)) for path in output.glob("*_annotation/**/*.png")}


def assert_masks_fit(output: Path, photos: "list[Photo]") -> None:
    found = imported(output)
    assert len(found) == len(photos)
    for photo in photos:
        np.testing.assert_array_equal(found[Path(photo.name).with_suffix(".png").name], photo.stored, photo.name)


def coco(
    folder: Path, photos: "list[Photo]", frame: str = "shown", stated: Literal["stored", "shown"] = "stored"
) -> str:
    entries, notes = [], []
    for number, photo in enumerate(photos):
        height, width = photo.over(stated).shape
        entries.append({"id": number, "file_name": f"images/{photo.name}", "height": height, "width": width})
        outline = [float(value) for point in corners(photo.box_over(frame)) for value in point]
        notes.append({"image_id": number, "category_id": 1, "segmentation": [outline]})
    content = {"images": entries, "annotations": notes, "categories": [{"id": 1, "name": "red"}]}
    (folder / "result.json").write_text(json.dumps(content))
    return str(folder / "result.json")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_points_outside_of_the_stated_size_are_those_of_the_upright_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, orientation: int
) -> None:
    photos = [Photo(tmp_path / "images", f"{number}.jpg", orientation, LOW) for number in range(3)]
    import_data("coco", coco(tmp_path, photos), tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)
    (line,) = [message for message in caplog.messages if "EXIF" in message]
    assert COUNT.format(3, 3) in line and "images/0.jpg" in line and "apply_exif_orientation" in line


def test_what_one_image_proves_holds_for_the_whole_export(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = tmp_path / "images"
    photos = [
        Photo(images, "proof.jpg", 6, LOW),
        Photo(images, "open.jpg", 8, HIGH),
        Photo(images, "half.jpg", 3, HIGH),
        Photo(images, "mirror.jpg", 2, HIGH),
        Photo(images, "square.jpg", 6, (2, 4, 30, 9), SQUARE),
        Photo(images, "straight.jpg", 1, HIGH),
    ]
    import_data("coco", coco(tmp_path, photos), tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)
    assert COUNT.format(5, 6) in caplog.text and "sizes or points of 1 prove" in caplog.text


def test_points_that_fit_the_stored_pixels_only_prove_those(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = tmp_path / "images"
    photos = [Photo(images, "proof.jpg", 6, LOW), Photo(images, "half.jpg", 3, HIGH)]
    assert photos[0].box_over("stored")[2] > UPRIGHT[1] + 1
    import_data("coco", coco(tmp_path, photos, "stored"), tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)
    assert "labelled as their pixels are stored" in caplog.text


def test_a_stated_upright_size_is_enough(tmp_path: Path) -> None:
    images = tmp_path / "images"
    photos = [Photo(images, "a.jpg", 6, HIGH), Photo(images, "b.jpg", 3, HIGH), Photo(images, "c.jpg", 8, LOW)]
    import_data("coco", coco(tmp_path, photos, stated="shown"), tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)


@pytest.mark.parametrize("frame", ["stored", "shown"])
def test_where_nothing_tells_the_stored_pixels_count_unless_the_user_knows_better(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, frame: Literal["stored", "shown"]
) -> None:
    images = tmp_path / "images"
    photos = [
        Photo(images, "half.jpg", 3, HIGH),
        Photo(images, "square.jpg", 6, (2, 4, 30, 9), SQUARE),
        Photo(images, "open.jpg", 6, (5, 22, 15, 38)),
    ]
    source = coco(tmp_path, photos, frame)
    import_data("coco", source, tmp_path / "out")
    assert COUNT.format(3, 3) in caplog.text and "import with --labelled shown" in caplog.text
    if frame == "stored":
        assert_masks_fit(tmp_path / "out", photos)
        return
    np.testing.assert_array_equal(imported(tmp_path / "out")["half.png"], photos[0].upright)
    import_data("coco", source, tmp_path / "out", labelled="shown", overwrite=True)
    assert_masks_fit(tmp_path / "out", photos)
    assert "as --labelled says" in caplog.text


def test_run_lengths_tell_by_their_size(tmp_path: Path) -> None:
    photos = [Photo(tmp_path / "images", f"{number}.jpg", 8, HIGH) for number in range(2)]
    source = Path(coco(tmp_path, photos))
    content = json.loads(source.read_text())
    for note, photo in zip(content["annotations"], photos, strict=True):
        pixels = photo.upright.ravel(order="F")
        edges = np.flatnonzero(np.diff(pixels, prepend=0, append=0))
        counts = np.diff([0, *edges, pixels.size]).tolist()
        note["segmentation"] = {"size": list(UPRIGHT), "counts": counts}
    source.write_text(json.dumps(content))
    import_data("coco", str(source), tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)


def labelme(folder: Path, photos: "list[Photo]", frame: str, stated: str) -> str:
    for photo in photos:
        height, width = photo.over(stated).shape
        shape = {"label": "red", "points": corners(photo.box_over(frame)), "shape_type": "polygon"}
        content = {"shapes": [shape], "imagePath": photo.name, "imageHeight": height, "imageWidth": width}
        (folder / photo.name).with_suffix(".json").write_text(json.dumps(content))
    return str(folder)


@pytest.mark.parametrize(("frame", "stated"), [("shown", "shown"), ("shown", "stored"), ("stored", "stored")])
def test_labelme_shows_images_upright_and_other_programs_give_themselves_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, frame: str, stated: str
) -> None:
    photos = [Photo(tmp_path / "in", "a.jpg", 6, LOW), Photo(tmp_path / "in", "b.jpg", 3, HIGH)]
    import_data("labelme", labelme(tmp_path / "in", photos, frame, stated), tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)
    assert COUNT.format(2, 2) in caplog.text


def test_a_label_file_without_a_size_is_taken_as_labelme_shows_images(tmp_path: Path) -> None:
    photos = [Photo(tmp_path / "in", name, 6, (5, 22, 15, 38)) for name in ("a.jpg", "b.jpg")]
    source = labelme(tmp_path / "in", photos, "shown", "shown")
    for file in (tmp_path / "in").glob("*.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "imageHeight": None}))
    import_data("labelme", source, tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)


def test_labelmes_images_of_half_a_turn_are_taken_as_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = [Photo(tmp_path / "in", name, 3, HIGH) for name in ("a.jpg", "b.jpg")]
    import_data("labelme", labelme(tmp_path / "in", photos, "shown", "shown"), tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)
    assert "import with --labelled stored" in caplog.text


def export_voc(folder: Path, photos: "list[Photo]", frame: str) -> tuple[Any, str, FormatOptions]:
    for photo in photos:
        save_mask(folder / "SegmentationClass" / Path(photo.name).with_suffix(".png").name, photo.over(frame))
    return "voc", str(folder), FormatOptions(images=folder / "images")


def export_colours(folder: Path, photos: "list[Photo]", frame: str) -> tuple[Any, str, FormatOptions]:
    for photo in photos:
        pixels = np.array([[0, 0, 0], [9, 9, 9]], np.uint8)[photo.over(frame)]
        save_mask(folder / "masks" / Path(photo.name).with_suffix(".png").name, pixels)
    (folder / "table.txt").write_text("background 0 0 0\nred 9 9 9\n")
    return "colours", str(folder / "images"), FormatOptions(masks=folder / "masks", colours=folder / "table.txt")


def export_ground_truth(folder: Path, photos: "list[Photo]", frame: str) -> tuple[Any, str, FormatOptions]:
    legend = {
        "0": {"class-name": "background", "hex-color": "#000000"},
        "1": {"class-name": "red", "hex-color": "#ff0000"},
    }
    lines = []
    for photo in photos:
        save_mask(folder / "masks" / f"{photo.name}.png", photo.over(frame), [(0, 0, 0), (255, 0, 0)])
        metadata = {"internal-color-map": legend}
        references = {"source-ref": f"images/{photo.name}", "label-ref": f"masks/{photo.name}.png"}
        lines.append(json.dumps({**references, "label-ref-metadata": metadata}))
    (folder / "output.manifest").write_text("\n".join(lines))
    return "ground-truth", str(folder / "output.manifest"), FormatOptions()


EXPORTS = [export_voc, export_colours, export_ground_truth]


@pytest.mark.parametrize("export", EXPORTS)
def test_masks_of_upright_size_are_turned_back_and_with_them_those_that_could_be_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, export: Callable[..., tuple[Any, str, FormatOptions]]
) -> None:
    images = tmp_path / "images"
    photos = [
        Photo(images, "quarter.jpg", 6, HIGH),
        Photo(images, "half.jpg", 3, HIGH),
        Photo(images, "square.jpg", 8, (2, 4, 30, 9), SQUARE),
        Photo(images, "straight.jpg", 1, HIGH),
    ]
    kind, source, options = export(tmp_path, photos, "shown")
    import_data(kind, source, tmp_path / "out", options=options)
    assert_masks_fit(tmp_path / "out", photos)
    assert COUNT.format(3, 4) in caplog.text and "sizes or points of 1 prove" in caplog.text
    kind, source, options = export(tmp_path, photos, "stored")
    import_data(kind, source, tmp_path / "out", options=options, overwrite=True)
    assert_masks_fit(tmp_path / "out", photos)


@pytest.mark.parametrize("export", EXPORTS)
def test_masks_that_could_be_either_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, export: Callable[..., tuple[Any, str, FormatOptions]]
) -> None:
    photos = [Photo(tmp_path / "images", f"{number}.jpg", 3, HIGH) for number in range(2)]
    kind, source, options = export(tmp_path, photos, "shown")
    import_data(kind, source, tmp_path / "out", options=options, labelled="shown")
    assert_masks_fit(tmp_path / "out", photos)
    caplog.clear()
    import_data(kind, source, tmp_path / "out", options=options, overwrite=True)
    assert "nothing proves" in caplog.text and "--labelled shown" in caplog.text


def test_cityscapes_masks_of_upright_size_are_turned_back(tmp_path: Path) -> None:
    photos = []
    for split, city in (("train", "aachen"), ("val", "lindau")):
        folder, name = tmp_path / "leftImg8bit" / split / city, f"{city}_000000_000019"
        photos.append(Photo(folder, f"{name}_leftImg8bit.png", 6, HIGH))
        save_mask(tmp_path / "gtFine" / split / city / f"{name}_gtFine_labelTrainIds.png", photos[-1].upright)
    import_data("cityscapes", str(tmp_path), tmp_path / "out")
    assert_masks_fit(tmp_path / "out", photos)


def test_images_are_read_twice_only_where_they_are_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [Photo(tmp_path / "images", f"{number}.jpg", 1 + 5 * (number == 1), LOW) for number in range(3)]
    source = coco(tmp_path, photos)
    reads: list[str] = []
    read = FileBlob.read

    def noted(blob: FileBlob) -> bytes:
        reads.append(Path(blob.name).name)
        return read(blob)

    monkeypatch.setattr(FileBlob, "read", noted)
    import_data("coco", source, tmp_path / "out")
    assert sorted(name for name in reads if name.endswith(".jpg")) == ["0.jpg", "1.jpg", "1.jpg", "2.jpg"]
