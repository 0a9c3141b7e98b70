import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segwright.cli import main
from segwright.data.folders import find_pairs
from segwright.errors import DataError, OutputExistsError, UserError
from segwright.importers.split_folder import split_folder
from segwright.importers.stratify import stratify
from tests.helpers.imported import checked, halves, names, save_image, save_mask


def data_set(root: Path, *keys: str, images: str = "images", masks: str = "masks", other: int = 1) -> Path:
    """A pair for each key, of the values 0 and `other`."""
    for seed, key in enumerate(keys):
        save_image(root / images / f"{key}.png", seed=seed)
        save_mask(root / masks / f"{key}.png", halves(0, other))
    return root


def keys_of(output: Path) -> dict[str, set[str]]:
    splits = [split for split in ("train", "validation", "test") if (output / split).is_dir()]
    return {
        split: {pair.key for pair in find_pairs(output / split, output / f"{split}_annotation").pairs}
        for split in splits
    }


PATIENTS = tuple(f"p{patient}/scan{number}" for patient in range(5) for number in range(2))


def test_pairs_are_copied_into_folders_that_train(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", *PATIENTS)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    summaries = split_folder(data, tmp_path / "out", validation=0.2, test=0.1)
    assert {split: summary.pairs for split, summary in summaries.items()} == {"train": 7, "validation": 2, "test": 1}
    splits = keys_of(tmp_path / "out")
    assert set().union(*splits.values()) == set(PATIENTS)
    assert sum(map(len, splits.values())) == len(PATIENTS)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    for split, keys in splits.items():
        for key in keys:
            copy = tmp_path / "out" / split / f"{key}.png"
            assert copy.read_bytes() == before[data / "images" / f"{key}.png"]
    assert [len(channel.pairs) for channel in checked(tmp_path / "out").channels] == [7, 2]


def test_the_command_logs_what_each_split_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = data_set(tmp_path / "data", *PATIENTS), tmp_path / "out"
    assert main(["split", str(data), "--output", str(output), "--test", "0.1", "--group", r"^p\d"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[-4:-1] == ["train: 6 pairs in 3 groups", "validation: 2 pairs in 1 group", "test: 2 pairs in 1 group"]


def test_the_same_seed_makes_the_same_splits(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", *PATIENTS)
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        split_folder(data, tmp_path / name, seed=seed)
    assert names(tmp_path / "one") == names(tmp_path / "two") != names(tmp_path / "three")


@pytest.mark.parametrize("pattern", ["^p[0-9]", r"^(p\d)/scan", r"p(\d)"])
def test_a_group_is_never_divided(tmp_path: Path, pattern: str) -> None:
    data = data_set(tmp_path / "data", *PATIENTS)
    summaries = split_folder(data, tmp_path / "out", group=pattern, test=0.2)
    assert [tuple(summary) for summary in summaries.values()] == [(6, 3), (2, 1), (2, 1)]
    homes = defaultdict(set)
    for split, keys in keys_of(tmp_path / "out").items():
        for key in keys:
            homes[key[:2]].add(split)
    assert all(len(splits) == 1 for splits in homes.values())
    report = json.loads((tmp_path / "out" / "split.json").read_text())
    assert (report["group"], len(report["groups"]["train"])) == (pattern, 3)


def test_copies_of_an_image_stay_together(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", "a", "b", "c", "d")
    (data / "images" / "d.png").write_bytes((data / "images" / "a.png").read_bytes())
    for seed in range(3):
        split_folder(data, tmp_path / str(seed), validation=0.4, seed=seed)
        assert any({"a", "d"} <= keys for keys in keys_of(tmp_path / str(seed)).values())


@pytest.mark.parametrize(
    ("images", "masks"),
    [("imgs", "labels"), ("train", "train_annotation"), ("train/images", "train/masks")],
)
def test_folders_that_are_divided(tmp_path: Path, images: str, masks: str) -> None:
    data = data_set(tmp_path / "data", *PATIENTS, images=images, masks=masks)
    assert split_folder(data, tmp_path / "out")["validation"].pairs == 2
    assert keys_of(tmp_path / "out")["train"] <= set(PATIENTS)


def test_images_and_masks_side_by_side(tmp_path: Path) -> None:
    for number in range(5):
        save_image(tmp_path / "data" / f"{number}.jpg", seed=number)
        save_mask(tmp_path / "data" / f"{number}_mask.png", halves(0, 1))
    split_folder(tmp_path / "data", tmp_path / "out")
    assert sum(map(len, keys_of(tmp_path / "out").values())) == 5


def test_label_map_and_tables_of_classes_are_copied(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", *PATIENTS, other=255)
    (data / "label_map").mkdir()
    (data / "label_map" / "train_label_map.json").write_text('{"map": {"0": 0, "1": 255}}')
    (data / "masks" / "_classes.csv").write_text("Pixel Value, Class\n0, ground\n255, vessel\n")
    split_folder(data, tmp_path / "out")
    found = checked(tmp_path / "out")
    assert (found.num_classes, found.train.histogram.tolist()) == (2, [192, 192])
    assert (tmp_path / "out" / "_classes.csv").is_file()


def test_a_test_split_that_is_there_is_copied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = data_set(tmp_path / "data", *PATIENTS, images="train", masks="train_annotation")
    data_set(data, "p9/x", "p1/x", images="test", masks="test_annotation")
    split_folder(data, tmp_path / "out", group=r"^p\d")
    assert keys_of(tmp_path / "out")["test"] == {"p9/x", "p1/x"}
    assert "test has groups that train and validation have as well: p1" in caplog.text
    with pytest.raises(DataError, match=r"has a test split already, .*: leave out --test"):
        split_folder(data, tmp_path / "other", test=0.1)


def test_values_that_a_split_lacks_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = data_set(tmp_path / "data", *PATIENTS)
    save_mask(data / "masks" / "p0/scan0.png", halves(0, 7))
    split_folder(data, tmp_path / "out")
    assert "validation: no mask holds 7, as masks of other splits do." in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0.0}, "--validation is 0.0"),
        ({"test": 1.0}, "--test is 1.0"),
        ({"validation": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"seed": -1}, "The seed must be 0"),
        ({"group": "("}, "no regular expression: missing"),
        ({"group": "patient"}, "finds no group in 10 of 10 paths, such as p0/scan0"),
        ({"group": "p[0-3]"}, r"finds no group in 2 of 10 paths, such as p4/scan0, p4/scan1\."),
        ({"group": "scan"}, r"1 group by --group 'scan' \('scan'\) cannot fill 2 splits"),
        ({"group": "scan[0-1]", "test": 0.1}, "2 groups .* cannot fill 3 splits"),
    ],
)
def test_what_cannot_be_done_is_said_and_writes_nothing(
    tmp_path: Path, options: dict[str, float], message: str
) -> None:
    data = data_set(tmp_path / "data", *PATIENTS)
    with pytest.raises(UserError, match=message):
        split_folder(data, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_divided_data_and_other_folders_are_refused(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", "a", "b", images="train", masks="train_annotation")
    data_set(data, "a", images="valid/images", masks="valid/masks")
    with pytest.raises(DataError, match=r"is divided already: .*valid/images is there"):
        split_folder(data, tmp_path / "out")
    with pytest.raises(UserError, match="nowhere is not a folder"):
        split_folder(tmp_path / "nowhere", tmp_path / "out")


def test_only_an_earlier_split_is_replaced(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", *PATIENTS)
    split_folder(data, tmp_path / "out")
    with pytest.raises(OutputExistsError):
        split_folder(data, tmp_path / "out", seed=1)
    split_folder(data, tmp_path / "out", seed=1, overwrite=True)
    assert json.loads((tmp_path / "out" / "split.json").read_text())["seed"] == 1
    with pytest.raises(OutputExistsError, match=r"no split.json"):
        split_folder(data, data, overwrite=True)


def test_pairs_that_training_would_refuse_end_it(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", *PATIENTS)
    save_mask(data / "masks" / "p0/scan0.png", halves(0, 1, width=4))
    with pytest.raises(DataError, match="p0/scan0"):
        split_folder(data, tmp_path / "out")


def random_groups(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 40)
    pixels = rng.integers(0, 1000, (40, 5)) * (rng.random((40, 5)) < (1, 0.9, 0.5, 0.2, 0.1))
    pixels[:2, 4] = 500  # in two groups at least
    return sizes, pixels


@pytest.mark.parametrize("seed", range(5))
def test_each_split_gets_its_share_of_pairs_and_every_class(seed: int) -> None:
    sizes, pixels = random_groups(seed)
    shares = {"train": 0.7, "validation": 0.3}
    split = np.array(stratify(sizes, pixels, shares, seed, [str(index) for index in range(40)]))
    assert sizes[split == "validation"].sum() == pytest.approx(0.3 * sizes.sum(), abs=2)
    parts = pixels[split == "validation"].sum(0) / pixels.sum(0)
    assert (parts > 0).all()
    assert (parts < 1).all()
    assert parts[:3] == pytest.approx(0.3, abs=0.12)


SIZES: tuple[tuple[int, ...], ...] = ((10, 8, 2), (4, 4, 4, 4, 4), (1, 1, 1), (30, 1, 1), (9, 9, 2))


@pytest.mark.parametrize("sizes", SIZES)
def test_no_split_is_empty(sizes: tuple[int, ...]) -> None:
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    named = [str(index) for index in range(len(sizes))]
    found = stratify(np.array(sizes), np.ones((len(sizes), 1), int), shares, 0, named)
    assert set(found) == shares.keys()


@pytest.fixture
def many() -> Callable[[int], list[str]]:
    pixels = np.random.default_rng(0).integers(1, 1000, (100, 4))
    shares, named = {"train": 0.8, "validation": 0.2}, [str(index) for index in range(100)]
    return lambda seed: stratify(np.ones(100, int), pixels, shares, seed, named)


def test_single_pairs_are_counted_exactly_and_drawn_by_seed(many: Callable[[int], list[str]]) -> None:
    assert many(0).count("validation") == 20
    assert many(0) == many(0) != many(1)
