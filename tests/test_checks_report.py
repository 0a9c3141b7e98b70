import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tifffile import imwrite

from segwright.checks.classes import settle_classes
from segwright.checks.prepare import CheckedData, examine, prepare
from segwright.checks.report import command, inspect, page
from segwright.checks.report.page import TICKS, log_length, scaled_sizes, share_words
from segwright.checks.report.samples import choose, draw_samples
from segwright.cli import main
from segwright.data.channels import Channels
from segwright.errors import OutputExistsError, UserError
from segwright.findings import Finding, FindingError
from segwright.hyperparameters import Hyperparameters
from tests.conftest import Draw, blocks
from tests.helpers.scans import scan, statistics

SMALL = Hyperparameters(base_size=48, crop_size=32)


def look(data: Path, strict: bool = False, **settings: Any) -> CheckedData:
    return examine(Channels.locate(data), SMALL.model_copy(update=settings), strict=strict)


def of(found: CheckedData, severity: str) -> list[Finding]:
    return [finding for finding in found.findings if finding.severity == severity]


def page_of(found: CheckedData) -> str:
    return page.render(found, "data", SMALL)


def save_mask(path: Path, mask: Any) -> None:
    Image.fromarray(np.asarray(mask, np.uint8)).save(path)


def damage(data: Path) -> None:
    """One of everything that is wrong in both channels at once."""
    (data / "train_annotation" / "000.png").unlink()
    (data / "train" / "001.jpg").unlink()
    broken = (data / "train" / "002.jpg").read_bytes()
    (data / "train" / "002.jpg").write_bytes(broken[: len(broken) // 2])
    save_mask(data / "train_annotation" / "003.png", np.zeros((40, 40)))
    save_mask(data / "train_annotation" / "004.png", np.full((40, 48), 77))
    save_mask(data / "train_annotation" / "005.png", np.full((40, 48), 255))
    shutil.copy(data / "train" / "006.jpg", data / "validation" / "000.jpg")
    save_mask(data / "validation_annotation" / "001.png", np.zeros((7, 9)))
    save_mask(data / "validation_annotation" / "002.png", np.full((40, 48), 88))


def test_good_data_have_nothing_but_notes(channels_folder: Draw) -> None:
    found = look(channels_folder())
    assert of(found, "error") == of(found, "warning") == []
    assert found.class_names == ("class 0", "class 1", "class 2")
    notes = [(one.channel, one.what[:22]) for one in found.findings if one.rule == "few_pairs"]
    assert notes == [("train", "there are only 8 pairs"), ("validation", "there are only 3 pairs")]


def test_all_that_is_wrong_is_found_at_once(channels_folder: Draw) -> None:
    data = channels_folder()
    damage(data)
    found = look(data, num_classes=3)
    errors = [(one.rule, one.channel, one.files[0]) for one in of(found, "error")]
    assert errors == [
        ("sizes_match", "train", str(data / "train" / "003.jpg")),
        ("class_range", "train", str(data / "train" / "004.jpg")),
        ("sizes_match", "validation", str(data / "validation" / "001.jpg")),
        ("class_range", "validation", str(data / "validation" / "002.jpg")),
    ]
    for finding, words in zip(of(found, "error"), ("003.png is 40x40", "77", "001.png is 9x7", "88"), strict=True):
        assert words in finding.what
    warnings = {(one.rule, one.channel): one for one in of(found, "warning")}
    left_out = warnings["left_out", "train"]
    for words in ("3 files are left out", "1 image has no mask", "1 mask has no image", "1 pair cannot be read"):
        assert words in left_out.what
    assert left_out.count == 3 and ("unlabelled", "train") in warnings and ("in_both", "validation") in warnings
    assert len(found.train.left_out) == 3 and found.validation.left_out == ()
    assert [finding.severity for finding in found.findings] == sorted(
        (finding.severity for finding in found.findings), key=("error", "warning", "note").index
    )


@pytest.mark.parametrize(
    ("masks", "document", "settings"),
    [
        ([[0, 1]], None, {}),
        ([[0, 255]], None, {}),
        ([[255, 255]], None, {}),
        ([[0, 0]], None, {}),
        ([[0, 0]], None, {"num_classes": 2}),
        ([[0, 90]], None, {}),
        ([[1, 2]], None, {"num_classes": 2}),
        ([[0, 7]], '{"map": {"0": 0, "1": 7}}', {}),
        ([[0, 7]], '{"map": {"0": 0, "5": 7}}', {"num_classes": 2}),
        ([[0, 7]], '{"map": {"0": 0}}', {}),
        ([[0, 7]], '{"map": {"0": 0, "1": 8}}', {"strict": True}),
        ([[0, 7]], '{"map": {"0": 0, "1": 8}}', {}),
        ([[0, 7]], '{"map": {"0": 1, "1": 8}}', {}),
        ([[0, 7]], '{"map": ', {}),
        ([[0, 1, 2]], None, {}),
    ],
)
def test_it_refuses_what_a_training_refuses(
    tmp_path: Path, masks: list[list[int]], document: str | None, settings: dict[str, Any]
) -> None:
    for channel in ("train", "validation"):
        (tmp_path / channel).mkdir()
        (tmp_path / f"{channel}_annotation").mkdir()
        for index in range(2):
            Image.new("RGB", (2, 1), (index, 9, 9)).save(tmp_path / channel / f"{index}.png")
            save_mask(tmp_path / f"{channel}_annotation" / f"{index}.png", masks)
    if document:
        (tmp_path / "label_map").mkdir()
        (tmp_path / "label_map" / "train_label_map.json").write_text(document)
    found = look(tmp_path, **settings)
    try:
        channels = Channels.locate(tmp_path)
        prepare(channels, settle_classes(channels, settings.get("num_classes")), strict=settings.get("strict", False))
    except FindingError as error:
        assert error.finding == of(found, "error")[0]
    except UserError as error:
        assert [one.what for one in of(found, "error")] == [str(error)]
    else:
        assert of(found, "error") == []
    assert page_of(found).count("data:image/jpeg") >= 4  # whatever is wrong with masks, they can be looked at


def test_channels_that_cannot_be_listed_are_findings(tmp_path: Path) -> None:
    for channel in ("train", "train_annotation", "validation", "validation_annotation"):
        (tmp_path / channel).mkdir()
    found = look(tmp_path)
    assert [finding.channel for finding in found.findings] == ["train", "validation"]
    assert "holds no images" in found.findings[0].what and found.findings[0].rule == "pairing"
    assert "A training would refuse these data." in page_of(found)


def test_strict_refuses_what_is_left_out(channels_folder: Draw) -> None:
    data = channels_folder()
    (data / "train_annotation" / "000.png").unlink()
    assert of(look(data), "error") == []
    (error,) = of(look(data, strict=True), "error")
    assert (error.rule, error.count) == ("left_out", 1) and "which strict refuses" in error.what


def test_masks_of_0_and_255_are_refused_once_with_their_map(channels_folder: Draw) -> None:
    data = channels_folder()
    for path in data.glob("*_annotation/*.png"):
        save_mask(path, np.where(np.asarray(Image.open(path)) == 1, 255, 0))
    found = look(data)
    errors = of(found, "error")
    assert [(one.rule, one.channel) for one in errors] == [
        ("only_0_and_255", "train"),
        ("only_0_and_255", "validation"),
    ]
    assert '{"map": {"0": 0, "1": 255}}' in errors[0].cure
    assert found.class_names == () and "Pixel values of the masks" in page_of(found)


def test_a_hint_travels_to_all_outputs(
    channels_folder: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = channels_folder()
    for path in data.glob("*_annotation/*.png"):
        save_mask(path, np.asarray(Image.open(path)) + 1)
    html, file = tmp_path / "page.html", tmp_path / "found.json"
    inspect(Channels.locate(data), SMALL, html=html, json=file)
    proposal = '{"map": {"0": 1, "1": 2, "2": 3}}'
    assert proposal in capsys.readouterr().out
    document = json.loads(file.read_text())
    assert proposal in [finding["label_map"] for finding in document["findings"]]
    assert proposal.replace('"', "&#34;") in html.read_text()


def test_everything_is_written_before_the_refusal(
    channels_folder: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = channels_folder()
    damage(data)
    html, file = tmp_path / "page.html", tmp_path / "found.json"
    with pytest.raises(FindingError, match="4 things have to be mended") as caught:
        inspect(Channels.locate(data), SMALL.model_copy(update={"num_classes": 3}), html=html, json=file)
    output = capsys.readouterr().out
    document = json.loads(file.read_text())
    assert document["refused"] is True and len(document["findings"]) > 8
    assert caught.value.finding and caught.value.finding.to_json() == document["findings"][0]
    for finding in document["findings"]:
        assert f"{finding['severity']}: {finding['channel']}: {finding['what']}" in output


def test_the_json_holds_what_the_table_shows(
    channels_folder: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    inspect(Channels.locate(channels_folder()), SMALL, html=tmp_path / "page.html", json=file)
    train = json.loads(file.read_text())["channels"]["train"]
    assert train["pairs"] == 8 and train["left_out"] == []
    assert train["sizes"] == [{"height": 40, "width": 48, "pairs": 8}]
    wanted = np.bincount(np.concatenate([blocks(index)[1].ravel() for index in range(8)]))
    assert train["histogram"] == wanted.tolist() and train["pictures_with_class"] == [8, 8, 8]
    assert train["pixel_values"] == {str(index): int(count) for index, count in enumerate(wanted)}
    output = capsys.readouterr().out
    assert f"{wanted[2]:,}" in output and "train: 8 pairs, 0 left out; 8 of 48x40 pixels" in output


def with_test_split(data: Path) -> Path:
    """Copies of the first training pairs, one of which has a mask of another size."""
    for name in ("test", "test_annotation"):
        shutil.copytree(data / name.replace("test", "train"), data / name)
    save_mask(data / "test_annotation" / "001.png", np.zeros((9, 9)))
    return data


def test_a_test_split_is_checked_and_shown_but_stops_no_training(
    channels_folder: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data, file = with_test_split(channels_folder()), tmp_path / "found.json"
    channels = Channels.locate(data)
    found = inspect(channels, SMALL, html=tmp_path / "page.html", json=file)
    rules = {(one.rule, one.severity) for one in found.findings if one.channel == "test"}
    assert rules == {("sizes_match", "error"), ("in_both", "warning"), ("few_pairs", "note")}
    document = json.loads(file.read_text())
    assert not document["refused"] and list(document["channels"]) == ["train", "validation", "test"]
    output = capsys.readouterr().out
    assert "test: 8 pairs, 0 left out" in output and "test pixels" in output
    text = (tmp_path / "page.html").read_text()
    assert text.count('<i class="of-test"') > 3 and "A training would start." in text
    assert {sample.channel for sample in draw_samples(found)[0]} == {"train", "validation", "test"}
    prepared = prepare(channels, settle_classes(channels))
    assert prepared.test is None and list(prepared.to_json()) == ["train", "validation"]
    assert "test" not in caplog.text


def test_the_page_stands_alone_and_is_small(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder(train=12, validation=5)
    generator = np.random.default_rng(0)
    for path in [*data.glob("train/*.jpg"), *data.glob("validation/*.jpg")]:  # noise makes the largest JPEGs
        Image.fromarray(generator.integers(0, 256, (480, 480, 3), np.uint8)).save(path)
        mask = np.kron(generator.integers(0, 3, (60, 60)), np.ones((8, 8)))
        save_mask(data / f"{path.parent.name}_annotation" / f"{path.stem}.png", mask)
    page = tmp_path / "page.html"
    inspect(Channels.locate(data), SMALL, html=page)
    text = page.read_text()
    assert len(text) < 4_600_000
    assert not re.search(r"""(src|href)=["'](?!data:)""", text) and "url(" not in text and "<script" not in text
    assert "default-src 'none'" in text


def test_hostile_names_are_harmless_everywhere(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder()
    hostile = ['"><script>alert(1)<', "' onerror='x", "{{ 7*7 }}", "\x1b[31mred", os.fsdecode(b"caf\xe9")]
    for index, name in enumerate(hostile):
        (data / "train" / f"{index:03}.jpg").rename(data / "train" / f"{name}.jpg")
        target = data / "train_annotation" / f"{name}.png"
        (data / "train_annotation" / f"{index:03}.png").rename(target)
        save_mask(target, np.full((40, 48), 255))
    (data / "train" / "alone<script>.jpg").write_bytes((data / "train" / "006.jpg").read_bytes())
    (data / "label_map").mkdir()
    (data / "label_map" / "class_names.json").write_text(json.dumps(["<b>sky</b>", 'a"b', "c\x1bd"]))
    html, file = tmp_path / "page.html", tmp_path / "found.json"
    inspect(Channels.locate(data), SMALL, html=html, json=file)
    text = html.read_text(encoding="utf-8")
    assert (
        "<script" not in text and "<b>" not in text and "\x1b" not in text and "49" not in re.findall(r">(\d+)<", text)
    )
    assert "&lt;script&gt;alert(1)" in text and r"caf\udce9" in text and r"\x1b[31mred" in text
    named = [name for finding in json.loads(file.read_text(encoding="utf-8"))["findings"] for name in finding["files"]]
    assert any(r"caf\udce9" in name for name in named)


def test_samples_show_rare_classes_first() -> None:
    scans = [scan(f"{index:02}", {0: 90, 1: 10}) for index in range(20)]
    scans[13] = scan("13", {0: 50, 2: 50})
    scans[17] = scan("17", {0: 10, 2: 10, 3: 1})
    channel = statistics("train", scans)
    assert choose(channel, 1) == [17]
    assert {17, 0} <= set(choose(channel, 3)) and choose(channel, 3) == sorted(choose(channel, 3))
    chosen = choose(channel, 8)
    assert len(chosen) == len(set(chosen)) == 8 and 19 in chosen
    assert choose(channel, 99) == list(range(20))
    assert choose(statistics("train", []), 4) == []


def test_images_of_findings_and_of_deep_images_are_drawn(channels_folder: Draw) -> None:
    data = channels_folder()
    for path in [*data.glob("train/*.jpg"), *data.glob("validation/*.jpg")]:
        grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 200
        Image.fromarray(grey).save(path.with_suffix(".png"))
        path.unlink()
    save_mask(data / "train_annotation" / "003.png", np.full((80, 96), 9))
    found = look(data, num_classes=3)
    samples, mentioned = draw_samples(found)
    assert len(samples) == 11 and all(sample.image.startswith("data:image/jpeg") for sample in samples)
    sample = mentioned[str(data / "train" / "003.png")]
    assert (sample.mask_size, sample.width, sample.height) == ("96x80", 48, 40)


def test_formats_other_than_plain_colour_are_shown(
    channels_folder: Draw, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = channels_folder()
    for path in [*data.glob("train/*.jpg"), *data.glob("validation/*.jpg")]:
        signed = np.asarray(Image.open(path)).astype(np.int16)[..., :2] * 30 - 400
        imwrite(path.with_suffix(".tif"), signed, photometric="minisblack", planarconfig="contig")
        path.unlink()
    channels = Channels.locate(data)
    with caplog.at_level("INFO", "segwright"):
        prepare(channels, settle_classes(channels))
    assert re.search(r"train: \d+ pairs of 2 bands of 16 bits \(signed\), 3 classes, 0 left out", caplog.text)
    assert main(["inspect", str(data), "--html", str(data / "page.html")]) == 0
    assert "of 48x40 pixels, 2 bands of 16 bits (signed); " in capsys.readouterr().out


def test_images_that_vanish_meanwhile_are_left_out(channels_folder: Draw) -> None:
    data = channels_folder()
    found = look(data)
    shutil.rmtree(data / "validation")
    samples, _ = draw_samples(found)
    assert {sample.channel for sample in samples} == {"train"}


def test_the_default_page_is_replaced_and_no_other(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = Channels.locate(channels_folder())
    monkeypatch.chdir(tmp_path)
    page = Path("segwright-inspect.html")
    page.write_text("old")
    inspect(channels, SMALL)
    assert page.read_text().startswith("<!doctype html>")
    monkeypatch.setattr(command, "examine", lambda *_, **__: pytest.fail("the data were read"))
    for html, file in ((page, None), (None, page)):
        with pytest.raises(OutputExistsError, match="overwrite"):
            inspect(channels, SMALL, html=html, json=file)


@pytest.mark.parametrize("output", ["html", "json"])
@pytest.mark.parametrize("name", ["folder", "file/page.html"])
def test_outputs_that_cannot_be_written_are_refused_before_the_data_are_read(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, output: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(command, "examine", lambda *_, **__: pytest.fail("the data were read"))
    with pytest.raises(UserError, match=name):
        inspect(
            Channels.locate(channels_folder()),
            SMALL,
            html=tmp_path / name if output == "html" else None,
            json=tmp_path / name if output == "json" else None,
            overwrite=True,
        )


def test_bars_grow_with_the_logarithm() -> None:
    lengths = [log_length(tick) for tick in TICKS]
    assert lengths == pytest.approx([20, 40, 60, 80, 100]) and log_length(0) == 0
    words = [share_words(one) for one in (0, 0.0004, 0.034, 1.234, 34.56, 100)]
    assert words == ["none", "< 0.001 %", "0.034 %", "1.23 %", "34.6 %", "100.0 %"]


@pytest.mark.parametrize(
    ("settings", "sizes", "words"),
    [
        (
            Hyperparameters(base_size=520, crop_size=240),
            [(260, 195), (520, 390), (1040, 780)],
            ("base_size is 520: ", "longer side becomes something between 0.5 and 2 times that.", "240 pixels"),
        ),
        (
            Hyperparameters(image_scale=0.5, scale_range=(0.8, 1.25)),
            [(192, 144), (240, 180), (300, 225)],
            ("image_scale is 0.5: ", "between 0.8 and 1.25 times as long", "256 pixels", "may choose another"),
        ),
    ],
)
def test_sketches_have_the_scales_of_a_training(
    channels_folder: Draw, settings: Hyperparameters, sizes: list[tuple[int, int]], words: tuple[str, ...]
) -> None:
    assert [(width, height) for _, width, height in scaled_sizes(360, 480, settings)] == sizes
    data = examine(Channels.locate(channels_folder(height=360, width=480)), settings)
    html = " ".join(page.render(data, "data", settings).split())
    assert all(text in html for text in (*words, *(f"{width} x {height}" for width, height in sizes)))
    assert ("may choose another" in html) == ("may choose another" in words)
    assert command.to_json(data, "data", settings)["image_scale"] == settings.image_scale


@pytest.mark.parametrize(("more", "last"), [(1, "1 other size"), (2, "2 other sizes")])
def test_sizes_beyond_the_first_are_one_row(more: int, last: str) -> None:
    scans = [scan(str(split), {0: 1}, size=(split, split)) for split in range(8, 16 + more)]
    rows = page._size_rows(statistics("train", scans))
    assert [row["name"] for row in (rows[0], rows[-1])] == ["8 x 8", last]
    assert rows[-1]["pairs"] == more
