import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segwright.console import Advance
from segwright.errors import OutputExistsError, UserError
from segwright.formats.images import EncodedImage
from segwright.formats.masks import decode_mask
from segwright.formats.palettes import mask_palette
from segwright.labels import IGNORE, LabelMap, read_class_names
from segwright.sample_data import CLASS_NAMES, draw_scene
from segwright.sample_data import dataset as sample
from segwright.sample_data import scene as drawing
from segwright.sample_data.canvas import SceneCanvas
from segwright.sample_data.dataset import write_sample
from segwright.sample_data.objects import Vehicle

VEHICLE, LANE_MARKING = CLASS_NAMES.index("vehicle"), CLASS_NAMES.index("lane marking")

Scene = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def scene(index: int, width: int = 320, height: int = 240, seed: int = 0) -> Scene:
    return draw_scene(np.random.default_rng([seed, index]), width, height)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(index) for index in range(16)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "data"
    write_sample(path, images=8, width=160, height=120, seed=3, overwrite=False)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folders_are_those_of_sagemaker(folder: Path) -> None:
    for split, count in (("train", 6), ("validation", 1), ("test", 1)):
        images = sorted((folder / split).iterdir())
        masks = sorted((folder / f"{split}_annotation").iterdir())
        assert len(images) == count
        assert {path.suffix for path in images} == {".jpg"}
        assert {path.suffix for path in masks} == {".png"}
        assert [path.stem for path in images] == [path.stem for path in masks]
    assert "8 drawn street scenes of 160 x 120 pixels, seed 3" in (folder / "README.txt").read_text()


def test_the_split_is_about_70_15_15_and_leaves_no_part_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "draw_scene", lambda rng, width, height: (np.zeros((9, 9, 3), np.uint8),) * 2)
    monkeypatch.setattr(sample, "encode_mask", lambda mask, palette: b"")
    for images, wanted in ((3, (1, 1, 1)), (10, (6, 2, 2)), (100, (70, 15, 15))):
        write_sample(tmp_path / str(images), images, 64, 64, seed=0, overwrite=False)
        counts = (len(list((tmp_path / str(images) / s).iterdir())) for s in ("train", "validation", "test"))
        assert tuple(counts) == wanted


def test_masks_become_classes_through_the_label_map_only(folder: Path) -> None:
    label_map = LabelMap.read(folder / "label_map" / "train_label_map.json")
    assert label_map == LabelMap.read(folder / "label_map" / "validation_label_map.json")
    assert label_map.class_count() == len(CLASS_NAMES) == 7
    assert read_class_names(folder / "label_map" / "class_names.json") == CLASS_NAMES
    assert CLASS_NAMES == ("sky", "building", "vegetation", "road", "lane marking", "vehicle", "person")
    for path in sorted((folder / "train_annotation").iterdir()):
        index = int(path.stem.removeprefix("scene_"))
        mask = decode_mask(path.read_bytes(), path.name).numbers
        assert mask.shape == (120, 160)
        assert mask[mask != IGNORE].min() >= len(CLASS_NAMES)  # no pixel value is a class index
        np.testing.assert_array_equal(label_map.apply(mask), scene(index, 160, 120, seed=3)[1])


def test_masks_carry_a_colour_for_every_class(folder: Path) -> None:
    label_map = json.loads((folder / "label_map" / "train_label_map.json").read_text())["map"]
    palette = mask_palette(next((folder / "test_annotation").iterdir()).read_bytes())
    assert palette is not None
    assert len({tuple(palette[value]) for value in label_map.values()}) == len(CLASS_NAMES)


def test_images_are_the_drawn_ones(folder: Path) -> None:
    for path in sorted((folder / "train").iterdir()):
        stored = EncodedImage(path.read_bytes(), path.name).decode().astype(float)
        drawn = scene(int(path.stem.removeprefix("scene_")), 160, 120, seed=3)[0]
        assert np.abs(stored - drawn).mean() < 6


def test_the_same_seed_draws_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "again", images=8, width=160, height=120, seed=3, overwrite=False)
    assert files(tmp_path / "again") == files(folder)


def test_a_image_depends_on_seed_and_number_alone(folder: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "fewer", images=4, width=160, height=120, seed=3, overwrite=False)
    write_sample(tmp_path / "other", images=4, width=160, height=120, seed=4, overwrite=False)
    first = "train/scene_00000.jpg"
    assert files(tmp_path / "fewer")[first] == files(folder)[first]
    assert files(tmp_path / "other")[first] != files(folder)[first]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_other_files_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "README.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        write_sample(tmp_path, images=3, width=64, height=64, seed=0, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["README.txt"]


def test_an_earlier_sample_is_replaced_only_when_asked(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_sample(folder, images=4, width=64, height=64, seed=0, overwrite=False)
    before = files(folder)
    with pytest.raises(OutputExistsError, match="overwrite"):
        write_sample(folder, images=3, width=64, height=64, seed=1, overwrite=False)
    assert files(folder) == before
    write_sample(folder, images=3, width=64, height=64, seed=1, overwrite=True)
    assert len(list((folder / "train").iterdir())) == 1
    options = json.loads((folder / "sample.json").read_text())
    assert options == {"images": 3, "width": 64, "height": 64, "seed": 1}


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Scene:
        raise RuntimeError("out of paint")

    monkeypatch.setattr(sample, "draw_scene", fail)
    with pytest.raises(RuntimeError, match="out of paint"):
        write_sample(tmp_path / "data", images=3, width=64, height=64, seed=0, overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_can_be_drawn_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(Path(), images=3, width=64, height=64, seed=0, overwrite=False)
    assert {"sample.json", "train", "label_map"} < {path.name for path in Path().iterdir()}
    assert not any(path.name.startswith(".") for path in Path().iterdir())


def test_progress_counts_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    @contextmanager
    def progress(what: str, total: int) -> Iterator[Advance]:
        calls.append(total)
        yield lambda done, _text: calls.append(done)

    monkeypatch.setattr(sample, "progress", progress)
    write_sample(tmp_path / "data", 3, 64, 64, 0, False)
    assert calls == [3, 1, 1, 1]


@pytest.mark.parametrize(
    ("images", "width", "height", "seed", "message"),
    [
        (2, 320, 240, 0, "3 or more"),
        (9, 63, 240, 0, "from 64 to 4096"),
        (9, 320, 5000, 0, "320x5000"),
        (9, 320, 240, -1, "seed must be 0"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, images: int, width: int, height: int, seed: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_sample(tmp_path / "data", images, width, height, seed, overwrite=False)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("width", "height"), [(64, 64), (97, 211), (640, 360), (192, 144)])
def test_any_size_can_be_drawn(width: int, height: int) -> None:
    for index in range(3):
        image, labels = scene(index, width, height)
        assert image.shape == (height, width, 3)
        assert image.dtype == labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {*range(len(CLASS_NAMES)), IGNORE}


def test_every_class_is_in_nearly_every_image(scenes: list[Scene]) -> None:
    counts = np.array([np.bincount(labels.ravel(), minlength=256) for _, labels in scenes])
    assert ((counts[:, : len(CLASS_NAMES)] > 100).mean(axis=0) >= 0.85).all()
    shares = counts.sum(axis=0) / counts.sum()
    assert shares[: len(CLASS_NAMES)].min() > 0.015
    assert 0.02 < shares[IGNORE] < 0.15


@pytest.mark.parametrize(("width", "height"), [(192, 144), (320, 240), (640, 480)])
def test_things_do_not_shrink_with_the_image(monkeypatch: pytest.MonkeyPatch, width: int, height: int) -> None:
    people: list[float] = []
    vehicles: list[float] = []

    def measure_person(canvas: SceneCanvas, x: float, z: float, metres: float) -> None:
        people.append(metres * canvas.camera.focal / z)

    def measure_vehicle(canvas: SceneCanvas, vehicle: Vehicle, x: float, z: float, heading: float) -> None:
        vehicles.append(vehicle.height * canvas.camera.focal / z)

    monkeypatch.setattr(drawing, "draw_person", measure_person)
    monkeypatch.setattr(drawing, "draw_vehicle", measure_vehicle)
    for index in range(7):
        labels = scene(index, width, height)[1]
        marking = np.pad((labels == LANE_MARKING).astype(np.uint8), 1)
        assert 2 * cv2.distanceTransform(marking, cv2.DIST_L2, 3).max() >= 5
    assert min(people) >= 40
    assert min(vehicles) >= 27


def test_lit_and_coloured_differently_yet_true_to_their_class(scenes: list[Scene]) -> None:
    def mean_colour(label: int) -> NDArray[np.float64]:
        return np.array([image[labels == label].mean(axis=0) for image, labels in scenes])

    sky, plants, road = (mean_colour(CLASS_NAMES.index(name)) for name in ("sky", "vegetation", "road"))
    assert plants[:, 1].mean() - plants[:, 2].mean() > 15  # greener than blue
    assert sky[:, 2].mean() > road[:, 2].mean() + 30
    assert road.mean(axis=1).std() > 8  # day and dusk, dark asphalt and light


def test_markings_are_brighter_than_the_road_around_them(scenes: list[Scene]) -> None:
    for image, labels in scenes:
        marking = cv2.erode((labels == LANE_MARKING).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        if marking.sum() > 100:
            assert image[marking].mean() > image[labels == CLASS_NAMES.index("road")].mean() + 15


def test_a_thin_border_to_ignore_lies_around_vehicles(scenes: list[Scene]) -> None:
    for _, labels in scenes:
        vehicle = (labels == VEHICLE).astype(np.uint8)
        ring = (cv2.dilate(vehicle, np.ones((3, 3), np.uint8)) - vehicle).astype(bool)
        if ring.sum() > 50:
            assert (labels[ring] == IGNORE).mean() > 0.5
