import re
import shlex
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.checks.channel import Expected, check_pairs
from segwright.checks.channel_statistics import ScannedChannel
from segwright.checks.classes import settle_classes
from segwright.checks.mask_palettes import palettes_agree, same_palettes
from segwright.checks.prepare import examine, prepare
from segwright.checks.scan import PairScan, scan_pairs
from segwright.cli import main
from segwright.data.channels import Channels
from segwright.data.folders import find_pairs
from segwright.data.pairs import Pair, Pairing
from segwright.errors import DataError
from segwright.findings import FindingError
from segwright.hyperparameters import Hyperparameters
from segwright.storage import FileBlob
from tests.helpers.scans import scanned

Colours = list[tuple[int, int, int]]

BLACK, RED, GREEN, BLUE = (0, 0, 0), (200, 60, 60), (60, 200, 60), (60, 60, 200)
ROW = [0, 0, 1, 1, 2, 2]


def add(root: Path, name: str, palette: Colours | None, row: list[int] = ROW, channel: str = "train") -> None:
    """A pair whose mask holds the row under a palette."""
    mask = Image.fromarray(np.array([row] * 2, np.uint8))
    if palette is not None:
        mask.putpalette(np.ravel(palette).tolist())
    save(root, name, mask, channel)


def save(root: Path, name: str, mask: Image.Image, channel: str = "train") -> None:
    images, masks = root / channel, root / f"{channel}_annotation"
    images.mkdir(exist_ok=True)
    masks.mkdir(exist_ok=True)
    Image.new("RGB", mask.size, (len(list(images.iterdir())), 1, 2)).save(images / f"{name}.png")
    mask.save(masks / f"{name}.png")


def read(root: Path, channel: str = "train") -> ScannedChannel:
    pairs = find_pairs(root / channel, root / f"{channel}_annotation").pairs
    return scanned([one for one in scan_pairs(pairs) if isinstance(one, PairScan)], channel=channel)


def refusal(root: Path) -> str:
    (finding,) = palettes_agree(read(root))
    assert (finding.rule, finding.severity) == ("palettes_agree", "error")
    return str(finding)


def test_indices_that_change_their_colour_are_refused_with_both_files(tmp_path: Path) -> None:
    for index in range(4):
        add(tmp_path, f"s{index}", [BLACK, GREEN, RED] if index == 2 else [BLACK, RED, GREEN])
    message = refusal(tmp_path)
    assert message.startswith(
        "train: the palette of 1 of 4 masks disagrees with the others: index 1 is (200, 60, 60) in "
    )
    assert "s0.png and (60, 200, 60) in" in message and "s2.png, so it may be another class" in message
    assert "(the masks show 0 0 0, 60 200 60, 200 60 60)" in message
    with pytest.raises(DataError, match="the palette of 1 of 4 masks"):
        check_pairs(find_pairs(tmp_path / "train", tmp_path / "train_annotation"), Expected("train"))


def test_masks_of_one_class_each_are_compared(tmp_path: Path) -> None:
    add(tmp_path, "red", [BLACK, RED], [0, 0, 1, 1])
    add(tmp_path, "green", [BLACK, GREEN], [0, 0, 1, 1])
    assert "index 1 is" in refusal(tmp_path)


@pytest.mark.parametrize("bits", [1, 8])
def test_black_and_white_that_change_places_are_refused(tmp_path: Path, bits: int) -> None:
    for name, palette in (("a", [0, 0, 0, 255, 255, 255]), ("b", [255, 255, 255, 0, 0, 0])):
        mask = Image.fromarray(np.array([[0, 1, 1, 0]], np.uint8))
        mask.putpalette(palette)
        save(tmp_path, name, mask)
        mask.save(tmp_path / "train_annotation" / f"{name}.png", bits=bits)
    assert "index 0 is (0, 0, 0) in" in refusal(tmp_path)


def test_class_numbers_reduced_as_if_they_were_colours_are_refused(tmp_path: Path) -> None:
    for name, row in (("a", [0, 1, 2, 2]), ("b", [0, 2, 2, 2]), ("c", [1, 1, 2, 2])):
        grey = Image.fromarray(np.array([row], np.uint8)).convert("RGB")
        save(tmp_path, name, grey.convert("P", palette=Image.Palette.ADAPTIVE, colors=len(set(row))))
    assert "disagree" in refusal(tmp_path)


@pytest.mark.parametrize(
    "palettes",
    [
        ([BLACK, RED, GREEN], [BLACK, RED, GREEN, BLUE]),
        ([BLACK, RED, GREEN], None),
        ([BLACK, RED, GREEN], [BLACK] * 3),
        ([BLACK, RED, GREEN], [(grey, grey, grey) for grey in range(256)]),
        ([BLACK, RED, GREEN], [(0, 0, 0), (199, 60, 61), (61, 202, 60)]),
        ([BLACK, RED, RED], [BLACK, RED, RED]),
        ([(grey, grey, grey) for grey in range(256)], [BLACK] * 256),
    ],
)
def test_innocent_differences_pass(tmp_path: Path, palettes: tuple[Colours | None, Colours | None]) -> None:
    for name, palette in zip("abcd", palettes * 2, strict=True):
        add(tmp_path, name, palette)
    assert list(palettes_agree(read(tmp_path))) == []


def test_unused_indices_and_255_do_not_count(tmp_path: Path) -> None:
    palette = [BLACK, RED, GREEN, BLUE] + [BLACK] * 252
    other = [BLACK, RED, BLUE, GREEN] + [BLACK] * 251 + [(224, 224, 192)]
    add(tmp_path, "a", palette, [0, 1, 2, 255])
    add(tmp_path, "b", other, [0, 1, 1, 255])
    assert list(palettes_agree(read(tmp_path))) == []


def test_masks_that_a_legend_corrects_are_not_compared(tmp_path: Path) -> None:
    add(tmp_path, "a", [BLACK, RED, GREEN])
    add(tmp_path, "b", [BLACK, GREEN, RED])
    palette_classes = ((0, BLACK), (1, RED), (2, GREEN))
    pairs = [
        Pair(
            name,
            FileBlob(tmp_path / "train" / f"{name}.png"),
            FileBlob(tmp_path / "train_annotation" / f"{name}.png"),
            palette_classes=palette_classes,
        )
        for name in "ab"
    ]
    assert check_pairs(Pairing(tuple(pairs)), Expected("train")).num_classes == 3


def test_the_command_of_the_cure_reads_the_masks_right(tmp_path: Path) -> None:
    colours = np.array([BLACK, RED, GREEN], np.uint8)
    truth: dict[str, NDArray[np.uint8]] = {}
    for index in range(6):
        numbers = np.array([[0, 1, 2, 2], [0, 0, 0, index % 3]], np.uint8)
        picture = Image.fromarray(colours[numbers])
        kept = Image.fromarray(numbers)
        kept.putpalette(colours.tobytes())
        save(tmp_path, f"a b{index}", picture.convert("P", palette=Image.Palette.ADAPTIVE) if index % 2 else kept)
        truth[f"a b{index}.png"] = numbers
    command = re.search(r"segwright (import-data .*?--output )", refusal(tmp_path))
    assert command
    table = tmp_path / "colours.txt"
    table.write_text("ground 0 0 0\ncar 200 60 60\ntree 60 200 60\n")
    words = [str(table) if word == "colours.txt" else word for word in shlex.split(command[1])]
    assert main([*words, str(tmp_path / "out")]) == 0
    found = {path.name: np.asarray(Image.open(path)) for path in (tmp_path / "out").glob("*_annotation/*.png")}
    assert found.keys() == truth.keys()
    for name, numbers in truth.items():
        assert (found[name] == numbers).all()


def both(root: Path, train: Colours, validation: Colours) -> None:
    for index in range(3):
        add(root, f"t{index}", train)
        add(root, f"v{index}", validation, channel="validation")


def test_palettes_that_are_exchanged_in_validation_are_refused_by_training_and_inspection(tmp_path: Path) -> None:
    both(tmp_path, [BLACK, RED, GREEN], [BLACK, GREEN, RED])
    channels = Channels.locate(tmp_path)
    with pytest.raises(FindingError) as error:
        prepare(channels, settle_classes(channels))
    message, finding = str(error.value), error.value.finding
    assert finding and (finding.rule, finding.channel) == ("same_palettes", "validation")
    assert message.startswith("validation: the palettes disagree with those of train: index 1 is (200, 60, 60) in ")
    assert "t0.png and (60, 200, 60) in" in message and "v0.png, which is the colour of index 2 in train" in message
    found = examine(channels, Hyperparameters())
    assert finding in [one for one in found.findings if one.severity == "error"]


def test_other_colours_in_validation_are_a_warning(tmp_path: Path) -> None:
    both(tmp_path, [BLACK, RED, GREEN], [BLACK, RED, BLUE])
    (finding,) = same_palettes(read(tmp_path), read(tmp_path, "validation"))
    assert finding.severity == "warning" and "index 2 is (60, 200, 60) in" in finding.what
    channels = Channels.locate(tmp_path)
    assert prepare(channels, settle_classes(channels)).num_classes == 3
    assert not any(one.severity == "error" for one in examine(channels, Hyperparameters()).findings)


def test_channels_that_are_numbered_apart_on_purpose_are_not_compared(tmp_path: Path) -> None:
    both(tmp_path, [BLACK, RED, GREEN], [BLACK, GREEN, RED])
    (tmp_path / "label_map").mkdir()
    (tmp_path / "label_map" / "validation_label_map.json").write_text('{"map": {"0": 0, "1": 2, "2": 1}}')
    channels = Channels.locate(tmp_path)
    assert prepare(channels, settle_classes(channels)).num_classes == 3
    assert not any(one.severity == "error" for one in examine(channels, Hyperparameters()).findings)


def test_the_label_map_of_the_cure_lets_numbers_count_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both(tmp_path, [BLACK, RED, GREEN], [BLACK, GREEN, RED])
    add(tmp_path, "odd", [RED, BLACK, GREEN])
    label_map = re.search(r"label map, (\{.*?\}\}), as label_map/train_label_map.json", refusal(tmp_path))
    assert label_map
    (tmp_path / "label_map").mkdir()
    for channel in ("train", "validation"):
        (tmp_path / "label_map" / f"{channel}_label_map.json").write_text(label_map[1])
    channels = Channels.locate(tmp_path)
    with caplog.at_level("WARNING", "segwright"):
        assert prepare(channels, settle_classes(channels)).train.histogram.tolist() == [16, 16, 16]
    assert "the palette of 1 of 4 masks disagrees with the others" in caplog.text
    assert "The numbers count, as the label map says." in caplog.text
    found = examine(channels, Hyperparameters())
    assert {one.severity for one in found.findings} == {"warning", "note"}


def test_inspection_names_the_masks_and_says_it_once(tmp_path: Path) -> None:
    both(tmp_path, [BLACK, RED, GREEN], [BLACK, RED, GREEN])
    add(tmp_path, "odd", [RED, BLACK, GREEN])
    found = examine(Channels.locate(tmp_path), Hyperparameters())
    errors = [one for one in found.findings if one.severity == "error"]
    assert [(one.rule, one.files) for one in errors] == [("palettes_agree", (str(tmp_path / "train" / "odd.png"),))]


def test_many_masks_take_a_moment(tmp_path: Path) -> None:
    add(tmp_path, "a", [BLACK, RED, GREEN])
    add(tmp_path, "b", [BLACK, GREEN, RED])
    one, other = read(tmp_path).scans
    before = time.process_time()
    (finding,) = palettes_agree(scanned([one] * 19_999 + [other]))
    assert finding.what.startswith("the palette of 1 of 20000 masks")
    assert time.process_time() - before < 2
