import random
from pathlib import Path

import numpy as np
import pytest

from segwright.data.channels import Split
from segwright.errors import DataError, UserError
from segwright.importers import SplitOptions
from segwright.importers.dataset import ImportedData, ImportedPair
from segwright.importers.drawing import Drawing
from segwright.importers.split import divide
from segwright.storage import BytesBlob


def pair(name: str, split: Split | None = None) -> ImportedPair:
    return ImportedPair(name, BytesBlob(name, b""), lambda _: Drawing(np.zeros((1, 1), np.uint8)), split)


def data(*names: str) -> ImportedData:
    return ImportedData(tuple(map(pair, names)), ("a", "b"))


HUNDRED = tuple(f"{number:03}.jpg" for number in range(100))


def validated(names: tuple[str, ...], share: float | None = None, seed: int = 0) -> list[str]:
    return [pair.name for pair in divide(data(*names), SplitOptions(share, seed=seed)).validation]


def test_the_draw_depends_on_seed_and_names_alone() -> None:
    shuffled = list(HUNDRED)
    random.Random(1).shuffle(shuffled)
    first = validated(HUNDRED)
    assert first == sorted(first)
    assert validated(tuple(shuffled)) == first
    assert len(first) == 20
    assert validated(HUNDRED, seed=1) != first
    # a draw that other versions must repeat
    assert first[:5] == ["007.jpg", "011.jpg", "017.jpg", "022.jpg", "023.jpg"]


def test_a_pair_that_is_added_moves_few_others() -> None:
    assert len(set(validated(HUNDRED)) ^ set(validated((*HUNDRED, "new.jpg")))) <= 2


@pytest.mark.parametrize(("count", "share", "expected"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 2), (10, 0.5, 5)])
def test_the_share_is_kept_and_no_side_is_empty(count: int, share: float, expected: int) -> None:
    assert len(validated(HUNDRED[:count], share)) == expected


def test_the_data_sets_own_division_counts_until_a_share_is_given() -> None:
    own = ImportedData((pair("a.jpg", "validation"), pair("b.jpg", "train")), ("a", "b"), divided_by="its folders")
    division = divide(own, SplitOptions())
    assert [pair.key for pair in division.validation] == ["a"]
    assert division.how == "by its folders"
    assert divide(own, SplitOptions(0.5)).how == "drawn by seed 0"


def test_a_list_names_pairs_by_path_or_by_file_name(tmp_path: Path) -> None:
    listed = tmp_path / "val.txt"
    listed.write_text("\ufeffa/one two.jpg\r\n\n./b/three\nfour\nfive.png\n")
    names = ("a/one two.jpg", "b/three.jpg", "c/four.jpg", "c/five.png", "c/six.jpg")
    division = divide(data(*names), SplitOptions(validation_list=listed))
    assert [pair.name for pair in division.train] == ["c/six.jpg"]
    assert division.how == f"by the list {listed}"


def test_unknown_names_in_a_list_are_one_error(tmp_path: Path) -> None:
    listed = tmp_path / "val.txt"
    listed.write_text("one\ntwo\nthree\nother/one\n")
    with pytest.raises(DataError, match=r"val.txt: 3 of 4 lines name no pair: line 2, 'two'; line 3, 'three'; line 4"):
        divide(data("one.jpg", "four.jpg"), SplitOptions(validation_list=listed))


def test_a_name_that_means_several_images_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "val.txt"
    listed.write_text("one\n")
    with pytest.raises(DataError, match="line 1, 'one': several images"):
        divide(data("a/one.jpg", "b/one.jpg"), SplitOptions(validation_list=listed))


@pytest.mark.parametrize(
    ("share", "seed", "message"), [(0.0, 0, "more than 0"), (1.0, 0, "less than 1"), (0.5, -1, "seed must be 0")]
)
def test_bad_wishes_are_refused(share: float, seed: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SplitOptions(share, seed=seed)


def test_a_share_and_a_list_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exclude each other"):
        SplitOptions(0.5, tmp_path / "val.txt")


def test_one_pair_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="No pair is left to validate with: 1 to train on"):
        divide(data("a.jpg"), SplitOptions())


def test_two_images_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match=r"a.jpg and a.png would both be called 'a'"):
        divide(
            ImportedData(
                (pair("a.jpg", "train"), pair("a.png", "train"), pair("b.jpg", "validation")),
                ("a", "b"),
                divided_by="x",
            ),
            SplitOptions(),
        )
