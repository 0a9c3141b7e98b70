"""The wording of messages, in one golden file: what commands say of bad input, and the findings of the data check.

Other tests assert on attributes, files and values; how a sentence reads is written down in tests/data/messages.txt.
`python -m tests.test_messages` writes that file anew: read the difference before it is committed.
"""

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.cli import main
from tests.conftest import TINY_BACKBONE, blocks

GOLDEN = Path(__file__).parent / "data" / "messages.txt"

Arguments = list[str]
Mask = NDArray[np.uint8]


def draw(folder: Path, name: str, change: Callable[[Mask], Mask] = lambda mask: mask, seed: int = 0) -> None:
    """An image and its mask in the two folders of a channel."""
    image, mask = blocks(seed)
    for path in (folder, folder.with_name(f"{folder.name}_annotation")):
        path.mkdir(exist_ok=True, parents=True)
    Image.fromarray(image).save(folder / f"{name}.jpg", quality=95)
    Image.fromarray(change(mask)).save(folder.with_name(f"{folder.name}_annotation") / f"{name}.png")


def draw_data(root: Path, change: Callable[[Mask], Mask] = lambda mask: mask) -> Path:
    """A good data set of eight pairs, its training masks changed."""
    for index in range(6):
        draw(root / "train", f"{index}", change, index)
    for index in range(2):
        draw(root / "validation", f"{index}", seed=100 + index)
    return root


def label_map(root: Path, text: str, file: str = "train_label_map.json") -> None:
    (root / "label_map").mkdir(exist_ok=True)
    (root / "label_map" / file).write_text(text)


# What a training refuses, or warns of, and what inspect reports of it: each changes a good data set.


def no_masks(data: Path) -> Arguments:
    shutil.rmtree(data / "train_annotation")
    return []


def no_validation_masks(data: Path) -> Arguments:
    shutil.rmtree(data / "validation_annotation")
    return []


def nothing_pairs(data: Path) -> Arguments:
    for index, mask in enumerate(sorted((data / "train_annotation").iterdir())):
        mask.rename(mask.with_name(f"other{chr(97 + index)}.png"))
    return []


def one_is_alone(data: Path) -> Arguments:
    (data / "train_annotation" / "3.png").unlink()
    return []


def one_is_alone_and_strict(data: Path) -> Arguments:
    return [*one_is_alone(data), "--strict"]


def damaged_image(data: Path) -> Arguments:
    file = data / "train" / "2.jpg"
    file.write_bytes(file.read_bytes()[:200])
    return []


def text_for_an_image(data: Path) -> Arguments:
    (data / "train" / "2.jpg").write_text("no image")
    return []


def other_size(data: Path) -> Arguments:
    Image.new("L", (30, 20)).save(data / "train_annotation" / "1.png")
    return []


def outside_the_classes(data: Path) -> Arguments:
    return ["--num-classes", "2"]


def brightness(data: Path) -> Arguments:
    draw(data / "train", "0", lambda mask: np.arange(mask.size, dtype=np.uint8).reshape(mask.shape) % 251)
    return []


def change_all(data: Path, change: Callable[[Mask], Mask]) -> Arguments:
    for first, split in ((0, "train"), (100, "validation")):
        for image in sorted((data / split).iterdir()):
            draw(data / split, image.stem, change, first + int(image.stem))
    return []


def only_void(data: Path) -> Arguments:
    return change_all(data, lambda mask: np.full_like(mask, 255))


def zero_and_255(data: Path) -> Arguments:
    return change_all(data, lambda mask: (255 * (mask == 2)).astype(np.uint8))


def values_beyond_the_map(data: Path) -> Arguments:
    label_map(data, '{"map": {"0": 0, "1": 1}}')
    return []


def values_beyond_the_map_and_strict(data: Path) -> Arguments:
    return [*values_beyond_the_map(data), "--strict"]


def map_beyond_the_classes(data: Path) -> Arguments:
    label_map(data, '{"map": {"0": 0, "1": 1, "7": 2}}')
    return ["--num-classes", "3"]


def bad_map(data: Path) -> Arguments:
    label_map(data, '{"map": {"zero": 0}}')
    return []


def two_maps(data: Path) -> Arguments:
    label_map(data, '{"scale": 1}')
    label_map(data, "{}", "train_label_map.txt")
    return []


def two_values_for_the_names(data: Path) -> Arguments:
    (data / "names.txt").write_text("road\ncar\n")
    return ["--class-names", str(data / "names.txt")]


def absent_class(data: Path) -> Arguments:
    return ["--num-classes", "5"]


def large_crop(data: Path) -> Arguments:
    return ["--crop-size", "480"]


def deep_images(data: Path) -> Arguments:
    Image.fromarray(blocks(3)[1].astype(np.uint16) * 999).save(data / "train" / "3.png")
    (data / "train" / "3.jpg").unlink()
    return []


def unknown_ending(data: Path) -> Arguments:
    (data / "train" / "3.jpg").rename(data / "train" / "3.xcf")
    return []


def equal_images(data: Path) -> Arguments:
    shutil.copy(data / "train" / "0.jpg", data / "validation" / "0.jpg")
    shutil.copy(data / "train_annotation" / "0.png", data / "validation_annotation" / "0.png")
    return []


DATA_SETS: dict[str, Callable[[Path], Arguments]] = {
    case.__name__: case
    for case in (
        no_masks, no_validation_masks, nothing_pairs, one_is_alone, one_is_alone_and_strict, damaged_image,
        text_for_an_image, other_size, outside_the_classes, brightness, only_void, zero_and_255, values_beyond_the_map,
        values_beyond_the_map_and_strict, map_beyond_the_classes, bad_map, two_maps, two_values_for_the_names,
        absent_class, large_crop, deep_images, unknown_ending, equal_images,
    )
}  # fmt: skip

SMALL = ("--recipe", "sagemaker", "--backbone", TINY_BACKBONE, "--no-use-pretrained-model", "--device", "cpu")

COMMANDS: dict[str, Arguments] = {
    "a hyperparameter that does not exist": ["train", "data", "--output", "out", "--learning-speed", "1"],
    "a name of another tool": ["train", "data", "--output", "out", "--lr", "0.1"],
    "a number out of range": ["train", "data", "--output", "out", "--crop-size", "8"],
    "a word for a number": ["train", "data", "--output", "out", "--epochs", "ten"],
    "an unknown choice": ["train", "data", "--output", "out", "--algorithm", "unet"],
    "an unknown backbone": ["train", "data", "--output", "out", "--backbone", "resnet-5"],
    "steps without the scheduler": ["train", "data", "--output", "out", "--lr-scheduler", "step"],
    "weights for other classes": ["train", "data", "--output", "out", *SMALL, "--class-weights", "1, 5"],
    "weights for a loss without": ["train", "data", "--output", "out", "--loss", "dice", "--class-weights", "auto"],
    "a loss that the original has not": ["train", "data", "--output", "out", "--recipe", "sagemaker", "--loss", "dice"],
    "no data folder": ["train", "nowhere", "--output", "out"],
    "no data": ["train", "--output", "out"],
    "a channel in place of its folder": ["train", "data/train", "--output", "out"],
    "an output that exists": ["train", "data", "--output", "full"],
    "weights that are not there": ["train", "data", "--output", "out", "--backbone-weights", "none.pth"],
    "a stream and a folder": ["train", "data", "--output", "out", *SMALL, "--input-mode", "Pipe"],
    "no bundle": ["predict", "data/train", "data/train", "--output", "masks"],
    "a bundle that does not exist": ["evaluate", "nothing", "--images", "data/train", "--masks", "masks"],
    "a model that is none": ["import-model", "data", "out"],
    "few images": ["sample", "new", "--images", "2"],
    "a size too small": ["sample", "new", "--size", "32x32"],
    "a size that is none": ["sample", "new", "--size", "large"],
    "an unknown format": ["import-data", "cocoa", "data", "new"],
    "no annotations": ["import-data", "coco", "data", "--output", "new"],
    "no port": ["serve", "full", "--port", "99999"],
}  # fmt: skip


@contextlib.contextmanager
def working_folder(path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield path
    finally:
        os.chdir(before)


def run(arguments: Arguments) -> tuple[int, list[str]]:
    """Exit status and what is said, on any machine alike."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main(arguments)
    here = str(Path.cwd())
    return status, [line.replace(here, "HERE").rstrip() for line in errors.getvalue().splitlines() if line.strip()]


def findings(case: str, folder: Path) -> list[str]:
    """What inspect reports of a data set, one finding a line."""
    with working_folder(folder):
        arguments = DATA_SETS[case](draw_data(Path("data")))
        report = ["--html", "page.html", "--json", "report.json", "--crop-size", "32", "--base-size", "48"]
        given = [word for word in report if "--crop-size" not in arguments or word not in ("--crop-size", "32")]
        status, said = run(["inspect", "data", *given, *arguments])
        if not Path("report.json").exists():
            return [f"exit {status}", *said]
        found = json.loads(Path("report.json").read_text())["findings"]
    lines = (f"{one['severity']}, {one['channel']}: {one['what']} {one['cure']} {one['label_map']}" for one in found)
    return [f"exit {status}", *(" ".join(line.replace(str(folder), "HERE").split()) for line in lines)]


def refusal(case: str, folder: Path) -> list[str]:
    """What a command says of bad input."""
    with working_folder(folder):
        draw_data(Path("data"))
        Path("full").mkdir()
        Path("full/file").touch()
        status, said = run(COMMANDS[case])
    return [f"exit {status}", *said]


def collect(case: str, folder: Path) -> str:
    lines = findings(case, folder) if case in DATA_SETS else refusal(case, folder)
    return f"## {case.replace('_', ' ')}\n" + "\n".join(lines) + "\n"


def sections() -> dict[str, str]:
    parts = GOLDEN.read_text().split("## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


@pytest.mark.parametrize("case", [*COMMANDS, *DATA_SETS])
def test_the_wording_is_that_of_the_golden_file(case: str, tmp_path: Path) -> None:
    assert collect(case, tmp_path) == sections()[case.replace("_", " ")]


def test_the_golden_file_has_no_other_sections() -> None:
    assert list(sections()) == [case.replace("_", " ") for case in (*COMMANDS, *DATA_SETS)]


if __name__ == "__main__":
    texts = []
    for each in (*COMMANDS, *DATA_SETS):
        with tempfile.TemporaryDirectory() as temporary:
            texts.append(collect(each, Path(temporary).resolve()))
    GOLDEN.write_text("\n".join(texts))
