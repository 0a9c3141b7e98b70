import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from segwright.cli import main
from segwright.errors import BundleError, OutputExistsError, UserError
from segwright.export import export_bundle, run
from segwright.export.verification import verify
from segwright.exported import BEST_WEIGHTS, folder_of, read_exports
from segwright.inference import load
from segwright.inference.runtimes.openvino import OpenVINORuntime
from tests.conftest import blocks, restored_logging
from tests.helpers.served import write_bundle


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was exported to ONNX, next to images and the masks that it predicts of them."""
    folder = tmp_path_factory.mktemp("exported")
    bundle = write_bundle(folder / "model")
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    model = load(bundle, "cpu")
    for name, image in (("a", blocks(1)[0]), ("b", blocks(2, 57, 40)[0]), ("c", blocks(3, 33, 80)[0])):
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(model.mask(image)).save(folder / "masks" / f"{name}.png")
    with restored_logging():
        assert main(["export", str(bundle), "--format", "onnx"]) == 0
    return bundle


@pytest.fixture
def bundle(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, of whose network PyTorch's slow exporter is not asked again."""
    onnx_file = folder_of(exported, "onnx", "float32") / "model.onnx"
    monkeypatch.setattr(run, "write_onnx", lambda _network, path: shutil.copy(onnx_file, path))
    return shutil.copytree(exported, tmp_path / "model")


def test_an_export_computes_what_the_bundle_does(exported: Path) -> None:
    (export,) = read_exports(exported)
    image, model = blocks(3, 51, 67)[0], load(exported, "cpu")
    session = onnxruntime.InferenceSession(export.path, providers=["CPUExecutionProvider"])
    mask, probabilities = session.run(["mask", "probabilities"], {"image": image.transpose(2, 0, 1)[None]})
    assert np.abs(probabilities[0] - model.probabilities(image)).max() < 1e-5
    assert (mask[0] == model.mask(image)).all()
    assert 0 < export.description.largest_difference < 1e-5
    assert export.description.classes == model.class_names
    assert [(entry.name, entry.shape) for entry in export.description.outputs] == [
        ("mask", ("B", "H", "W")),
        ("probabilities", ("B", 3, "H", "W")),
        ("logits", ("B", 3, "h", "w")),
    ]


def test_an_export_of_older_weights_is_found_out_and_replaced(bundle: Path) -> None:
    write_bundle(bundle.parent / "other", seed=1)
    shutil.copy(bundle.parent / "other" / BEST_WEIGHTS, bundle / BEST_WEIGHTS)
    assert read_exports(bundle) == []
    with pytest.raises(OutputExistsError):
        export_bundle(bundle, "onnx")
    # the file comes from the older weights here, so that verification has something to find
    with pytest.raises(UserError, match=r"cannot be exported to onnx in float32.*logits differ"):
        export_bundle(bundle, "onnx", overwrite=True)
    assert (folder_of(bundle, "onnx", "float32") / "export.json").is_file()


def test_float32_costs_nothing_in_openvino(bundle: Path, exported: Path) -> None:
    images, masks = (str(exported.parent / name) for name in ("images", "masks"))
    export = export_bundle(bundle, "openvino", images=images, masks=masks)
    assert export.path == folder_of(bundle, "openvino", "float32") / "model.xml"
    assert export.description.mean_iou is not None
    assert export.description.mean_iou.fall == pytest.approx(0, abs=0.1)  # a tie of classes may go the other way


def test_bfloat16_is_near(bundle: Path) -> None:
    try:
        export = export_bundle(bundle, "openvino", "bfloat16")
    except UserError as error:
        pytest.skip(str(error))
    assert 1e-5 < export.description.largest_difference < 0.1
    assert export.description.mean_iou is None


def test_int8_is_kept_with_what_it_costs(bundle: Path, exported: Path) -> None:
    images, masks = (str(exported.parent / name) for name in ("images", "masks"))
    given: dict[str, Any] = {"calibrate": images, "images": images, "masks": masks}
    with pytest.raises(UserError, match=r"mean IoU on 3 images is 0\.\d{4} .* where at most 0 are allowed"):
        export_bundle(bundle, "onnx", "int8", **given, max_fall=0)
    assert [export.description.precision for export in read_exports(bundle)] == ["float32"]
    for export_format in ("onnx", "openvino"):
        export = export_bundle(bundle, export_format, "int8", **given, max_fall=100)
        measured = export.description.mean_iou
        assert measured is not None and measured.float32 == 1
        assert 0 < measured.fall < 20
        assert measured.fall == pytest.approx(100 - 100 * measured.exported)
        assert json.loads((export.path.parent / "export.json").read_text())["mean_iou"]["fall"] == measured.fall
    operators = [node.op_type for node in onnx.load(folder_of(bundle, "onnx", "int8") / "model.onnx").graph.node]
    assert operators.count("DequantizeLinear") > operators.count("Conv") > 0
    assert {path.name for path in folder_of(bundle, "openvino", "int8").iterdir()} == {
        "export.json",
        "model.bin",
        "model.xml",
    }


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("onnx", "bfloat16", None, None, None, None), "precision"),
        (("onnx", "int8", None, "images", "masks", None), "calibrate"),
        (("openvino", "int8", "images", None, None, None), "images"),
        (("onnx", "float32", "images", None, None, None), "calibrate"),
        (("onnx", "float32", None, None, "masks", None), "masks"),
        (("onnx", "float32", None, None, None, 1.0), "max_fall"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path: Path, arguments: tuple[str, ...], name: str) -> None:
    keywords = dict(zip(("calibrate", "images", "masks", "max_fall"), arguments[2:], strict=True))
    with pytest.raises(UserError) as raised:
        export_bundle(tmp_path, *arguments[:2], **keywords)  # type: ignore[arg-type]
    assert raised.value.name == name


def test_a_missing_openvino_is_noticed_before_anything_is_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match="OpenVINO is not installed"):
        export_bundle(tmp_path / "nothing", "openvino")


def test_a_model_of_the_original_is_imported_first(tmp_path: Path) -> None:
    (tmp_path / "model_best.params").touch()
    with pytest.raises(BundleError, match="import-model"):
        export_bundle(tmp_path, "onnx")


def test_a_missing_package_is_an_error_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith("segwright.export.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", str(tmp_path), "--format", "onnx"]) == 2
    assert capsys.readouterr().err == "error: exporting needs the package onnx: pip install 'segwright[export]'\n"


def test_a_file_that_computes_something_else_is_found_out(exported: Path, tmp_path: Path) -> None:
    (export,) = read_exports(exported)
    model = onnx.load(export.path)
    (softmax,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    softmax.attribute[0].i = 3
    onnx.save(model, tmp_path / "model.onnx")
    network = load(exported, "cpu").network
    with pytest.raises(UserError, match="probabilities differ"):
        verify(network, tmp_path / "model.onnx", "onnx", "float32")


def test_a_file_that_computes_nothing_is_found_out(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_runtime: OpenVINORuntime, _images: object) -> None:
        raise RuntimeError("OpenVINO computed nothing of 65 x 129 pixels")

    monkeypatch.setattr(OpenVINORuntime, "run", run)
    (export,) = read_exports(exported)
    with pytest.raises(UserError, match=r"for 1 x 65 x 129 pixels: OpenVINO computed nothing .* Nothing is written"):
        verify(load(exported, "cpu").network, export.path, "openvino", "float32")
