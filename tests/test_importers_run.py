import shutil
from pathlib import Path

import pytest

from segwright.cli import main
from segwright.errors import UserError
from segwright.importers import FormatOptions, import_data
from tests.helpers.imported import halves, names, painted, save_image, save_mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        save_image(tmp_path / "images" / f"{number}.png", seed=number)
        save_mask(tmp_path / "masks" / f"{number}.png", painted(halves(0, 1), ((1, 2, 3), (4, 5, 6))))
    (tmp_path / "colours.txt").write_text("a 1 2 3\nb 4 5 6\n")
    return tmp_path


def test_options_of_other_formats_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="format voc takes no --masks, which is for colours"):
        import_data("voc", str(tmp_path), tmp_path / "out", options=FormatOptions(masks=tmp_path))
    with pytest.raises(UserError, match="format colours needs --masks and --colours"):
        import_data("colours", str(tmp_path), tmp_path / "out", options=FormatOptions(masks=tmp_path))
    with pytest.raises(UserError, match=r"^--images .*gone does not exist\.$"):
        import_data("voc", str(tmp_path), tmp_path / "out", options=FormatOptions(images=tmp_path / "gone"))
    with pytest.raises(UserError, match="only manifests of ground-truth are read from S3"):
        import_data("voc", "s3://bucket/voc", tmp_path / "out")
    with pytest.raises(UserError, match="nowhere does not exist"):
        import_data("voc", str(tmp_path / "nowhere"), tmp_path / "out")


def test_the_command_imports_and_says_what_it_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tail = ["--masks", str(folder / "masks"), "--colours", str(folder / "colours.txt"), "--output", str(folder / "out")]
    command = ["import-data", "colours", str(folder / "images"), *tail, "--validation", "0.5", "--seed", "3"]
    assert main(command) == 0
    assert "2 pairs for training and 2 for validation, drawn by seed 3; 2 classes" in capsys.readouterr().err
    assert main(command) == 2
    assert "overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--images", str(folder)]) == 2
    assert "takes no --images, which is for ground-truth, voc, coco, labelme, cityscapes" in capsys.readouterr().err
    assert main(["import-data", "yolo", str(folder), "--output", str(folder / "other")]) == 2


def test_a_list_and_a_share_exclude_each_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tail = ["--masks", str(folder / "masks"), "--colours", str(folder / "colours.txt"), "--output", str(folder / "out")]
    (folder / "list.txt").write_text("3\n")
    command = ["import-data", "colours", str(folder / "images"), *tail, "--validation-list", str(folder / "list.txt")]
    assert main([*command, "--validation", "0.5"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert main(command) == 0
    assert names(folder / "out" / "validation") == {"3.png"}


def test_a_failure_leaves_nothing_behind(folder: Path) -> None:
    save_mask(folder / "masks" / "2.png", painted(halves(0, 1, 5, 5), ((1, 2, 3), (4, 5, 6))))
    before = names(folder)
    options = FormatOptions(masks=folder / "masks", colours=folder / "colours.txt")
    with pytest.raises(UserError, match=r"2.png is of 5x5 pixels"):
        import_data("colours", str(folder / "images"), folder / "out", options=options)
    assert names(folder) == before


def test_where_no_pair_of_a_side_can_be_read_the_reason_is_told(folder: Path) -> None:
    for number in range(4):
        (folder / "images" / f"{number}.png").write_bytes(b"no picture")
    options = FormatOptions(masks=folder / "masks", colours=folder / "colours.txt")
    with pytest.raises(
        UserError, match=r"No pair is left for train. 4 of 4 pairs left out, not readable: .* is not a JPEG"
    ):
        import_data("colours", str(folder / "images"), folder / "out", options=options)
    assert not (folder / "out").exists()


def test_the_command_says_how_turned_photographs_were_labelled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tail = ["--masks", str(folder / "masks"), "--colours", str(folder / "colours.txt"), "--output", str(folder / "out")]
    assert main(["import-data", "colours", str(folder / "images"), *tail, "--labelled", "shown"]) == 0
    assert "EXIF" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_is_to_be_unpacked(folder: Path, kind: str) -> None:
    archive = shutil.make_archive(str(folder / "export"), kind, folder / "images")
    with pytest.raises(UserError, match="is an archive: unpack it"):
        import_data("coco", archive, folder / "out")
