from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tifffile import imwrite

from segwright.checks.channel import Expected, check_pairs
from segwright.checks.label_map_hints import label_map_hints
from segwright.checks.mask_stretch import find_stretch, stretched
from segwright.checks.prepare import examine
from segwright.checks.scan import PairScan
from segwright.data.channels import Channels
from segwright.data.folders import find_pairs
from segwright.findings import FindingError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import LabelMap
from tests.helpers.scans import scan, scanned, statistics

Mask = NDArray[np.uint8]


def masks_of(*sets: list[int]) -> list[PairScan]:
    return [scan(f"m{index}", dict.fromkeys(values, 10)) for index, values in enumerate(sets)]


def by_largest(classes: Mask) -> Mask:
    return np.asarray(classes * 255.0 / max(classes.max(), 1), np.uint8)


def by_range(classes: Mask) -> Mask:
    """As mat2gray and plt.imsave do: the smallest number becomes 0."""
    low, high = int(classes.min()), int(classes.max())
    return np.asarray(np.round((classes - low) / max(high - low, 1) * 255), np.uint8)


def rgba(classes: Mask) -> Mask:
    return np.asarray(Image.fromarray(by_largest(classes)).convert("RGBA"))


def sixteen_bits(classes: Mask) -> NDArray[np.uint16]:
    return np.asarray(classes * 65535.0 / max(classes.max(), 1), np.uint16)


def drawn(
    root: Path, stretch: Callable[[Mask], NDArray[np.generic]], counts: list[int], channel: str = "train"
) -> Path:
    """Pairs whose masks hold the classes 0 to count - 1, then stretched."""
    images, masks = root / channel, root / f"{channel}_annotation"
    images.mkdir()
    masks.mkdir()
    for index, count in enumerate(counts):
        classes = np.arange(12, dtype=np.uint8).reshape(2, 6) % count
        Image.new("RGB", (6, 2), (index, 0, 0)).save(images / f"{index}.png")
        Image.fromarray(stretch(classes)).save(masks / f"{index}.png")
    return root


@pytest.mark.parametrize("stretch", [by_largest, by_range, rgba, sixteen_bits])
@pytest.mark.parametrize("counts", [[2, 3] * 5, [2, 3, 4, 1, 5, 2], [4, 3]])
@pytest.mark.parametrize("num_classes", [None, 3])
def test_masks_that_were_stretched_each_by_itself_are_refused_without_a_wrong_cure(
    tmp_path: Path, stretch: Callable[[Mask], NDArray[np.generic]], counts: list[int], num_classes: int | None
) -> None:
    drawn(tmp_path, stretch, counts)
    with pytest.raises(FindingError) as error:
        check_pairs(
            find_pairs(tmp_path / "train", tmp_path / "train_annotation"), Expected("train", num_classes=num_classes)
        )
    top = 65535 if stretch is sixteen_bits else 255
    message, finding = str(error.value), error.value.finding
    assert finding and finding.rule == "stretched" and f"the highest value of each mask is {top} " in message
    assert "Export them anew as class numbers" in message
    assert ".png holds 0" in message and '{"map"' not in message and "num_classes" not in message


def test_only_values_that_could_be_one_spread_have_a_way_out() -> None:
    for sets, way_out in (([[0, 255], [0, 127, 255]], True), ([[0, 127, 255], [0, 85, 170, 255]], False)):
        (finding,) = stretched(scanned(masks_of(*sets)))
        assert finding.severity == "error" and ("with a label map that names them" in finding.cure) == way_out


@pytest.mark.parametrize(
    "sets",
    [
        [[0, 255]] * 9,
        [[0, 255], [255], [0]],
        [[0, 127, 255]],
        [[0, 127, 255]] * 9,
        [[0, 127, 255], [0, 127], [0, 255]],
        [[0, 85, 170, 255], [0, 85], [0, 170]],
        [[0, 1, 2, 255], [0, 1, 255], [0, 255]],
        [[0, 15, 255], [0, 13, 255], [0, 255]],
        [[0, 60, 120, 255], [0, 60, 255], [0, 255]],
        [[0, 1], [0, 1, 2]],
        [list(range(256)), [0, 255]],
        [[0]],
        [],
    ],
)
def test_other_masks_are_not_taken_for_stretched(sets: list[list[int]]) -> None:
    assert find_stretch(masks_of(*sets)) is None


def test_one_mask_in_a_hundred_that_is_not_stretched_changes_nothing() -> None:
    assert find_stretch(masks_of(*[[0, 255], [0, 127, 255]] * 50, [0, 1]))
    assert find_stretch(masks_of(*[[0, 255], [0, 127, 255]] * 5, [0, 1])) is None


def test_no_map_is_proposed_and_a_given_one_is_doubted() -> None:
    masks = masks_of(*[[0, 255], [0, 127, 255]] * 5)
    nothing = statistics("validation", [])
    assert list(label_map_hints(statistics("train", masks), nothing, count_is_given=False)) == []
    label_map = LabelMap(values=((0, 0), (127, 1), (255, 2)))
    (found,) = label_map_hints(statistics("train", masks, 3, label_map), nothing, count_is_given=True)
    assert (found.rule, found.severity, found.label_map) == ("stretched_hint", "warning", "")
    assert "whatever the label map says" in found.what


def test_inspection_refuses_them_once_for_each_channel(tmp_path: Path) -> None:
    for channel in ("train", "validation"):
        drawn(tmp_path, by_largest, [2, 3] * 3, channel)
    found = examine(Channels.locate(tmp_path), Hyperparameters())
    errors = [(one.rule, one.channel) for one in found.findings if one.severity == "error"]
    assert errors == [("stretched", "train"), ("stretched", "validation")]
    assert not any(one.label_map for one in found.findings)


def test_masks_that_were_divided_by_their_highest_number_are_refused_though_some_look_whole(tmp_path: Path) -> None:
    drawn(tmp_path, lambda classes: classes, [2, 3] * 3)
    for path in (tmp_path / "train_annotation").iterdir():
        classes = np.asarray(Image.open(path))
        imwrite(path.with_suffix(".tif"), (classes / classes.max()).astype(np.float32))
        path.unlink()
    pairing = find_pairs(tmp_path / "train", tmp_path / "train_annotation")
    with pytest.raises(
        FindingError, match=r"1\.tif holds the number 0\.5 of type float32 .* export them anew"
    ) as caught:
        check_pairs(pairing, Expected("train"))
    assert caught.value.finding and caught.value.finding.rule == "fractions"
