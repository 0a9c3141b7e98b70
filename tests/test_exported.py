import logging
from pathlib import Path
from typing import Any

import pytest

from segwright import exported
from segwright.errors import BundleError
from segwright.exported import ExportDescription, ExportedArray, folder_of, read_exports
from segwright.precisions import ExportPrecision


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / exported.BEST_WEIGHTS).write_bytes(b"weights")
    return tmp_path


def write(bundle: Path, precision: ExportPrecision = "float32", **changed: Any) -> ExportDescription:
    """An export as the command leaves it, with a description that may be `changed`."""
    description = ExportDescription(
        format="onnx",
        precision=precision,
        file="model.onnx",
        inputs=(ExportedArray(name="image", dtype="uint8", shape=("B", 3, "H", "W")),),
        outputs=(ExportedArray(name="mask", dtype="uint8", shape=("B", "H", "W")),),
        classes=("ground", "sky"),
        inference_scale=1,
        bundle_digest=exported.weights_digest(bundle),
        versions={"segwright": "1"},
        largest_difference=1e-6,
    ).model_copy(update=changed)
    folder = folder_of(bundle, "onnx", precision)
    folder.mkdir(parents=True)
    (folder / "model.onnx").touch()
    (folder / exported.EXPORT_DESCRIPTION).write_text(description.model_dump_json())
    return description


def test_a_bundle_without_exports_has_none(tmp_path: Path) -> None:
    assert read_exports(tmp_path) == []


def test_exports_are_read_as_written(bundle: Path) -> None:
    descriptions = [write(bundle), write(bundle, "int8")]
    found = read_exports(bundle)
    assert [export.description for export in found] == descriptions
    assert found[0].path == bundle / "export" / "onnx-float32" / "model.onnx"


def test_an_export_of_other_weights_is_left_out(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(bundle)
    (bundle / exported.BEST_WEIGHTS).write_bytes(b"other weights")
    assert read_exports(bundle) == []
    assert "other weights" in caplog.text


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format_version": 99}, "newer Segwright"),
        ({"file": "missing.onnx"}, "missing.onnx"),
        ({"file": "../onnx-int8/model.onnx"}, "leads out"),
        ({"inference_scale": None}, "inference_scale"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_its_reason(
    bundle: Path, caplog: pytest.LogCaptureFixture, changed: dict[str, Any], reason: str
) -> None:
    write(bundle, "int8")
    with caplog.at_level(logging.WARNING):
        write(bundle, **changed)
        usable = read_exports(bundle)
    assert [export.description.precision for export in usable] == ["int8"]
    assert reason in caplog.text and "onnx-float32" in caplog.text


def test_weights_that_are_missing_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        exported.weights_digest(tmp_path)
