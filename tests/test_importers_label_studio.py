import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.importers import FormatOptions, import_data
from tests.helpers.imported import HEIGHT, WIDTH, checked, masks, save_image
from tests.helpers.rle_pack_writer import brush


def area(top: int, left: int, bottom: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def result(kind: str, label: str, size: tuple[int, ...] = (HEIGHT, WIDTH), **value: Any) -> dict[str, Any]:
    """A result as the export JSON has it."""
    return {
        "id": f"{kind}-{label}",
        "type": kind,
        "from_name": "tag",
        "to_name": "image",
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": {**value, kind: [label]},
    }


def painted(label: str, mask: NDArray[np.bool_], kind: str = "brushlabels") -> dict[str, Any]:
    return result(kind, label, mask.shape, format="rle", rle=brush(mask))


def rectangle(label: str, x: float, y: float, width: float, height: float, rotation: float = 0) -> dict[str, Any]:
    return result("rectanglelabels", label, x=x, y=y, width=width, height=height, rotation=rotation)


def task(number: int, *results: dict[str, Any], image: str | None = None, **change: Any) -> dict[str, Any]:
    annotation = {"id": 10 * number, "result": list(results), "was_cancelled": False, "ground_truth": False}
    data = {"image": image or f"/data/upload/1/8f3a01bc-photo{number}.jpg"}
    return {"id": number, "data": data, "annotations": [annotation], "predictions": [], **change}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        save_image(tmp_path / "images" / f"8f3a01bc-photo{number}.jpg", seed=number)
    return tmp_path


def run(folder: Path, document: Any, **options: Any) -> dict[str, NDArray[np.uint8]]:
    (folder / "export.json").write_text(json.dumps(document))
    chosen = FormatOptions(**options)
    import_data("label-studio", str(folder / "export.json"), folder / "out", options=chosen, overwrite=True)
    return masks(folder / "out")


def others() -> list[dict[str, Any]]:
    return [task(2, rectangle("car", 0, 0, 50, 50)), task(3, rectangle("tree", 0, 0, 25, 50))]


def test_brush_strokes_are_decoded_and_later_regions_lie_over_earlier(folder: Path) -> None:
    found = run(folder, [task(1, painted("tree", area(1, 1, 5, 6)), painted("car", area(2, 2, 4, 8))), *others()])
    assert checked(folder / "out").class_names == ("background", "car", "tree")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[1:5, 1:6] = 2
    expected[2:4, 2:8] = 1
    np.testing.assert_array_equal(found["8f3a01bc-photo1"], expected)


def test_polygons_rectangles_and_ellipses(folder: Path) -> None:
    regions = (
        result("polygonlabels", "car", points=[[0, 0], [50, 0], [50, 50], [0, 50]], closed=True),
        rectangle("tree", 50, 50, 25, 50),
    )
    found = run(folder, [task(1, *regions), *others()])["8f3a01bc-photo1"]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:3, :4] = 1
    expected[3:, 4:6] = 2
    np.testing.assert_array_equal(found, expected)


def test_a_rectangle_is_turned_clockwise_about_its_first_corner(folder: Path) -> None:
    # from (4, 2): 4 pixels along x and 2 along y; turned by 90 degrees it lies left of x = 4, below y = 2
    found = run(folder, [task(1, rectangle("car", 50, 100 / 3, 50, 100 / 3, 90)), *others()])["8f3a01bc-photo1"]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[2:6, 2:4] = 1
    np.testing.assert_array_equal(found, expected)


def test_an_ellipse_is_turned_about_its_centre(folder: Path) -> None:
    save_image(folder / "images" / "8f3a01bc-photo1.jpg", 100, 100)
    ellipse = result("ellipselabels", "car", (100, 100), x=50, y=50, radiusX=40, radiusY=10, rotation=90)
    found = run(folder, [task(1, ellipse), *others()])["8f3a01bc-photo1"]
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (10, 90, 40, 60)
    assert abs((found == 1).sum() - np.pi * 40 * 10) < 20


def test_labels_apart_from_their_shape_and_bit_masks(folder: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[4:, 6:] = (9, 9, 9, 255)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    address = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    shape: dict[str, Any] = {"id": "a", "type": "polygon", "value": {"points": [[0, 0], [50, 0], [0, 50]]}}
    labelled = {**shape, "type": "labels", "value": {**shape["value"], "labels": ["car"]}}
    found = run(folder, [task(1, shape, labelled, result("bitmasklabels", "tree", imageDataURL=address)), *others()])[
        "8f3a01bc-photo1"
    ]
    assert found[0, 0] == 1
    np.testing.assert_array_equal(found == 2, area(4, 6, HEIGHT, WIDTH))


def test_the_minimal_export_has_the_same_pixels(folder: Path) -> None:
    def minimal(number: int, *regions: dict[str, Any]) -> dict[str, Any]:
        values = [{**region["value"], "original_width": WIDTH, "original_height": HEIGHT} for region in regions]
        return {"id": number, "image": f"/data/upload/1/8f3a01bc-photo{number}.jpg", "tag": values, "annotator": 1}

    stroke = area(1, 1, 3, 3)
    found = run(
        folder,
        [
            minimal(1, painted("car", stroke)),
            minimal(2, rectangle("tree", 0, 0, 50, 100)),
            minimal(3),
        ],
    )
    np.testing.assert_array_equal(found["8f3a01bc-photo1"] == 1, stroke)
    np.testing.assert_array_equal(found["8f3a01bc-photo2"] == 2, area(0, 0, HEIGHT, WIDTH // 2))
    assert not found["8f3a01bc-photo3"].any()


def test_one_annotation_counts(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def annotation(label: str, **change: Any) -> dict[str, Any]:
        return {"id": 1, "result": [rectangle(label, 0, 0, 100, 100)], **change}

    first = task(1) | {"annotations": [annotation("wrong", was_cancelled=True), annotation("car"), annotation("tree")]}
    second = task(2) | {"annotations": [annotation("car"), annotation("tree", ground_truth=True)]}
    third = task(3) | {"annotations": [], "predictions": [annotation("wrong")]}
    save_image(folder / "images" / "8f3a01bc-photo4.jpg")
    with caplog.at_level(logging.WARNING):
        found = run(folder, [first, second, third, task(4, rectangle("car", 0, 0, 10, 10))])
    assert checked(folder / "out").class_names == ("background", "car", "tree")
    assert found["8f3a01bc-photo1"].tolist() == np.full((HEIGHT, WIDTH), 1).tolist()
    assert found["8f3a01bc-photo2"].tolist() == np.full((HEIGHT, WIDTH), 2).tolist()
    assert set(found) == {"8f3a01bc-photo1", "8f3a01bc-photo2", "8f3a01bc-photo4"}
    assert "2 tasks with several annotations" in caplog.text
    assert "1 of 4 tasks left out, without an annotation that is not cancelled: 3" in caplog.text


@pytest.mark.parametrize(
    "image",
    [
        "/data/local-files/?d=some/where/photo%201.jpg",
        "/data/local-files/?d=some\\where\\photo 1.jpg",
        "s3://bucket/some/where/photo 1.jpg",
        "https://host:80/some/where/photo%201.jpg?X-Amz-Signature=abc%2F",
        "/data/upload/7/0123abcd-photo 1.jpg",
        "/tasks/1/resolve/?fileuri=" + base64.b64encode(b"s3://bucket/where/photo 1.jpg").decode(),
    ],
)
def test_images_are_found_by_every_kind_of_address(folder: Path, image: str) -> None:
    save_image(folder / "photos" / "where" / "photo 1.jpg")
    save_image(folder / "photos" / "photo2.jpg")
    document = [task(1, rectangle("car", 0, 0, 50, 50), image=image), task(2, rectangle("car", 0, 0, 50, 50))]
    assert set(run(folder, document, images=folder / "photos")) == {"where/photo 1", "photo2"}


def test_what_cannot_be_drawn_is_left_out_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = (
        result("keypointlabels", "car", x=5, y=5, width=1),
        result("polygonlabels", "car", points=[[0, 0], [5, 5]]),
        result("polygonlabels", "car", points=[["a", 0]]),
        result("brushlabels", "car", format="rle", rle=[1, 2, 300]),
        {"type": "choices", "value": {"choices": ["sunny"]}},
        {"type": "relation", "from_id": "a", "to_id": "b"},
        {"id": "z", "type": "rectangle", "value": {"x": 1, "y": 1, "width": 9, "height": 9}},
    )
    with caplog.at_level(logging.WARNING):
        found = run(folder, [task(1, *bad, rectangle("car", 0, 0, 50, 50)), *others()])
    np.testing.assert_array_equal(found["8f3a01bc-photo1"] == 1, area(0, 0, 3, 4))
    for words in (
        "key points and other regions without an area, left out: 1",
        "polygons of fewer than three points, left out: 1",
        "regions that cannot be read, left out: 2",
        "regions without a label, left out: 1",
    ):
        assert words in caplog.text


def test_images_that_are_not_there_are_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = run(folder, [task(9, rectangle("car", 0, 0, 50, 50)), *others()])
    assert set(found) == {"8f3a01bc-photo2", "8f3a01bc-photo3"}
    assert "1 of 3 images left out" in caplog.text and "/data/upload/1/8f3a01bc-photo9.jpg" in caplog.text
    with pytest.raises(DataError, match="--images DIR"):
        run(folder, [task(9, rectangle("car", 0, 0, 50, 50))])


def turned_photo(path: Path, upright: NDArray[np.uint8], orientation: int) -> None:
    """A photograph whose stored pixels are the upright ones turned, as its EXIF note says."""
    back = {
        3: Image.Transpose.ROTATE_180,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(upright).transpose(back).save(path, exif=exif, quality=98)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("kind", ["brush", "polygon"])
def test_regions_of_a_turned_photograph_lie_over_the_stored_pixels(folder: Path, orientation: int, kind: str) -> None:
    upright = np.full((48, 32, 3), 40, np.uint8)
    upright[8:24, 16:24] = 220
    inside = upright[..., 0] > 128
    turned_photo(folder / "images" / "8f3a01bc-photo1.png", upright, orientation)
    (folder / "images" / "8f3a01bc-photo1.jpg").unlink()
    points = [[50, 100 / 6], [75, 100 / 6], [75, 50], [50, 50]]
    region = painted("car", inside) if kind == "brush" else result("polygonlabels", "car", (48, 32), points=points)
    found = run(folder, [task(1, region), *others()])["8f3a01bc-photo1"]
    stored = np.asarray(Image.open(folder / "images" / "8f3a01bc-photo1.png"))[..., 0] > 128
    np.testing.assert_array_equal(found == 1, stored)


def test_brush_strokes_of_another_size_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="is of 20x10 pixels, but its image is of 8x6"):
        run(folder, [task(1, painted("car", np.ones((10, 20), np.bool_))), *others()])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"images": [], "annotations": [], "categories": []}, "no task with an image.*import-data coco"),
        ([1, 2], r"0 is 1: .*Give Label Studio's export"),
        ([], "no task with an image and an annotation"),
        ([task(1), task(2)], "no region with a label"),
    ],
)
def test_other_documents_are_refused(folder: Path, document: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        run(folder, document)


def test_what_is_no_json_is_refused(folder: Path) -> None:
    (folder / "export.json").write_text("[{]")
    with pytest.raises(DataError, match="is not valid JSON"):
        import_data("label-studio", str(folder / "export.json"), folder / "out")


def test_strokes_without_run_lengths_are_named_with_the_export_that_has_them(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    brush = result("brushlabels", "car", format="rle")
    with pytest.raises(DataError, match=r"nothing to learn, but regions of the brush without run lengths.*JSON.*: 2"):
        run(folder, [task(1, brush), task(2, brush)])
    run(folder, [task(1, brush), *others()])
    assert "regions of the brush without run lengths" in caplog.text


def test_labels_of_nothing_but_key_points_are_no_classes(folder: Path) -> None:
    run(folder, [task(1, result("keypointlabels", "nose", x=1, y=1, width=0.5)), *others()])
    assert checked(folder / "out").class_names == ("background", "car", "tree")


@pytest.mark.parametrize("suffix", [".json", ""])
def test_a_target_storage_keeps_an_annotation_with_its_task_in_each_file(folder: Path, suffix: str) -> None:
    for number, entry in enumerate([task(1, rectangle("tree", 0, 0, 50, 100)), *others()], 1):
        (annotation,) = entry.pop("annotations")
        file = folder / "annotations" / f"{number}{suffix}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**annotation, "task": entry}))
    options = FormatOptions(images=folder / "images")
    import_data("label-studio", str(folder / "annotations"), folder / "out", options=options)
    found = masks(folder / "out")
    np.testing.assert_array_equal(found["8f3a01bc-photo1"] == 2, area(0, 0, HEIGHT, WIDTH // 2))
    assert len(found) == 3
