import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segwright.errors import DataError
from segwright.importers import FormatOptions, import_data
from segwright.labels import IGNORE
from segwright.storage.s3 import S3Blob
from tests.helpers.imported import HEIGHT, WIDTH, checked, halves, masks, painted, save_image, save_mask

WHITE, GREEN, BLUE, ORANGE = (255, 255, 255), (44, 160, 44), (31, 119, 180), (255, 127, 14)
LEGEND = {
    "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff", "confidence": 0.9},
    "1": {"class-name": "road", "hex-color": "#2ca02c", "confidence": 0.8},
    "2": {"class-name": "car", "hex-color": "#1f77b4"},
}
PALETTE = (WHITE, GREEN, BLUE)


def line(folder: Path, number: int, legend: dict[str, Any] | None = None) -> dict[str, Any]:
    save_image(folder / "images" / f"image {number}.jpg", seed=number)
    save_mask(folder / "masks" / f"{number}.png", halves(0, 1), palette=PALETTE)
    return {
        "source-ref": f"images/image {number}.jpg",
        "label-ref": str(folder / "masks" / f"{number}.png"),
        "label-ref-metadata": {"internal-color-map": legend or LEGEND, "type": "groundtruth/semantic-segmentation"},
    }


def write(folder: Path, lines: list[dict[str, Any]]) -> str:
    (folder / "output.manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / "output.manifest")


@pytest.fixture
def lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [line(tmp_path, number) for number in range(4)]


def test_a_manifest_becomes_channels_with_its_classes_and_colours(
    tmp_path: Path, lines: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    data = checked(tmp_path / "out")
    assert data.class_names == ("BACKGROUND", "road", "car")
    found = masks(tmp_path / "out")
    assert set(found) == {f"image {number}" for number in range(4)}
    assert all((mask == halves(0, 1)).all() for mask in found.values())
    assert "palette" not in caplog.text
    image = next((tmp_path / "out" / "train").iterdir())
    assert image.read_bytes() == (tmp_path / "images" / image.name).read_bytes()
    mask = next((tmp_path / "out" / "train_annotation").iterdir())
    with Image.open(mask) as picture:
        assert (picture.getpalette() or [])[:9] == [*WHITE, *GREEN, *BLUE]


def test_permuted_indices_are_repaired_by_colour_with_one_warning(
    tmp_path: Path, lines: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    for number in (0, 2):
        save_mask(tmp_path / "masks" / f"{number}.png", halves(2, 5), palette=(BLUE, GREEN, WHITE, *[WHITE] * 2, BLUE))
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    found = masks(tmp_path / "out")
    np.testing.assert_array_equal(found["image 0"], halves(0, 2))
    np.testing.assert_array_equal(found["image 1"], halves(0, 1))
    np.testing.assert_array_equal(found["image 2"], halves(0, 2))
    (warning,) = [record.getMessage() for record in caplog.records if "internal-color-map" in record.getMessage()]
    assert "read by their colours: 2 (in " in warning and "image 0.jpg" in warning and "image 2.jpg" in warning


@pytest.mark.parametrize("opaque", [False, True])
def test_rgb_and_rgba_masks_are_read_by_colour(tmp_path: Path, lines: list[dict[str, Any]], opaque: bool) -> None:
    pixels = painted(halves(2, 1), PALETTE)
    if opaque:
        pixels = np.dstack([pixels, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    save_mask(tmp_path / "masks" / "1.png", pixels)
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    np.testing.assert_array_equal(masks(tmp_path / "out")["image 1"], halves(2, 1))


def test_grey_masks_are_read_by_index(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    save_mask(tmp_path / "masks" / "1.png", halves(2, 1))
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    np.testing.assert_array_equal(masks(tmp_path / "out")["image 1"], halves(2, 1))


def test_what_the_colour_map_does_not_name_is_ignored_and_counted(
    tmp_path: Path, lines: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    save_mask(tmp_path / "masks" / "1.png", halves(3, 1), palette=(*PALETTE, (44, 160, 45)))
    save_mask(tmp_path / "masks" / "2.png", halves(0, 9))
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    found = masks(tmp_path / "out")
    np.testing.assert_array_equal(found["image 1"], halves(IGNORE, 1))
    np.testing.assert_array_equal(found["image 2"], halves(0, IGNORE))
    assert "does not name, ignored: 48 (in " in caplog.text
    assert "read by their colours" not in caplog.text


def test_a_colour_of_two_classes_decides_nothing(tmp_path: Path) -> None:
    legend = {"0": LEGEND["0"], "1": LEGEND["1"], "2": {"class-name": "car", "hex-color": "#2ca02c"}}
    lines = [line(tmp_path, number, legend) for number in range(2)]
    save_mask(tmp_path / "masks" / "0.png", halves(2, 1), palette=(WHITE, GREEN, GREEN))
    save_mask(tmp_path / "masks" / "1.png", halves(1, 3), palette=(WHITE, GREEN, GREEN, GREEN))
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    found = masks(tmp_path / "out")
    np.testing.assert_array_equal(found["image 0"], halves(2, 1))
    np.testing.assert_array_equal(found["image 1"], halves(1, IGNORE))


def test_colour_maps_that_differ_are_united_by_name(tmp_path: Path) -> None:
    other = {
        "0": {"class-name": "sky", "hex-color": "#ff7f0e"},
        "1": {"class-name": " road", "hex-color": "#1f77b4"},
    }
    lines = [line(tmp_path, 0), line(tmp_path, 1), line(tmp_path, 2, other)]
    save_mask(tmp_path / "masks" / "2.png", halves(0, 1), palette=(ORANGE, BLUE))
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    data = checked(tmp_path / "out")
    assert data.class_names == ("BACKGROUND", "road", "car", "sky")
    assert data.palette.tolist() == [list(colour) for colour in (WHITE, GREEN, BLUE, ORANGE)]
    np.testing.assert_array_equal(masks(tmp_path / "out")["image 2"], halves(3, 1))


def test_lines_whose_labelling_failed_are_left_out_and_named(
    tmp_path: Path, lines: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    del lines[1]["label-ref"]
    lines[1]["label-ref-metadata"] = {"failure-reason": "no annotation"}
    lines.insert(0, {"source-ref": "images/never.jpg"})
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    assert len(masks(tmp_path / "out")) == 3
    assert "2 of 5 lines left out, without a mask, as labelling failed or is not done: 1, 3" in caplog.text


def test_images_of_one_name_keep_their_folders(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    for place, one in zip(("north", "south"), lines, strict=False):
        one["source-ref"] = f"images/{place}/01.jpg"
        save_image(tmp_path / one["source-ref"])
    import_data("ground-truth", write(tmp_path, lines[:2]), tmp_path / "out")
    assert set(masks(tmp_path / "out")) == {"north/01", "south/01"}


def test_attributes_are_chosen_by_name_where_there_are_several(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    for one in lines:
        one["second-ref"] = one["label-ref"]
        one["second-ref-metadata"] = {
            "internal-color-map": {**LEGEND, "1": {"class-name": "street", "hex-color": "#2ca02c"}}
        }
    source = write(tmp_path, lines)
    with pytest.raises(DataError, match="leaves open which"):
        import_data("ground-truth", source, tmp_path / "out")
    options = FormatOptions(attributes=("source-ref", "second-ref"))
    import_data("ground-truth", source, tmp_path / "out", options=options)
    assert checked(tmp_path / "out").class_names == ("BACKGROUND", "street", "car")


def test_errors_name_the_line(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="no line with an image and a mask"):
        import_data("ground-truth", write(tmp_path, [{"source-ref": "a.jpg"}]), tmp_path / "out")
    lines[2]["label-ref-metadata"] = {}
    with pytest.raises(DataError, match=r"output.manifest, line 3, label-ref-metadata has no internal-color-map"):
        import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    lines[2] = line(tmp_path, 2)
    save_mask(tmp_path / "masks" / "2.png", halves(0, 1, 5, 5), palette=PALETTE)
    with pytest.raises(DataError, match=r"2.png is of 5x5 pixels, but its image is of 8x6"):
        import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pairs_that_cannot_be_read_are_left_out_and_named(
    tmp_path: Path, lines: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "masks" / "2.png").unlink()
    (tmp_path / "images" / "image 1.jpg").write_bytes(b"no picture")
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out")
    assert set(masks(tmp_path / "out")) == {"image 0", "image 3"}
    (warning,) = [message for message in caplog.messages if message.startswith("2 of 4 pairs left out")]
    assert "2.png cannot be read: No such file" in warning and "image 1.jpg is not a JPEG, PNG" in warning


def test_images_of_another_place_are_looked_for_where_one_says(
    tmp_path: Path, lines: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    for one in lines:
        one["source-ref"] = f"s3://bucket/job/{one['source-ref']}"
    (tmp_path / "images" / "image 0.jpg").unlink()
    options = FormatOptions(images=tmp_path / "images")
    import_data("ground-truth", write(tmp_path, lines), tmp_path / "out", options=options)
    found = masks(tmp_path / "out")
    assert set(found) == {"image 1", "image 2", "image 3"}
    assert all((mask == halves(0, 1)).all() for mask in found.values())
    assert "1 of 4 images left out, not found: s3://bucket/job/images/image 0.jpg" in caplog.text


def test_manifest_images_and_masks_may_lie_in_s3(
    tmp_path: Path, lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {}
    for one in lines:
        for attribute, file in (("source-ref", tmp_path / one["source-ref"]), ("label-ref", Path(one["label-ref"]))):
            one[attribute] = f"s3://bucket/job 1/{attribute}/{file.name}"
            objects[one[attribute]] = file.read_bytes()
    objects["s3://bucket/job 1/output.manifest"] = Path(write(tmp_path, lines)).read_bytes()
    monkeypatch.setattr(S3Blob, "read", lambda blob: objects[blob.name])
    import_data("ground-truth", "s3://bucket/job 1/output.manifest", tmp_path / "out")
    found = masks(tmp_path / "out")
    assert set(found) == {f"image {number}" for number in range(4)}
    assert all((mask == halves(0, 1)).all() for mask in found.values())
