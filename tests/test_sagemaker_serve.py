"""Hosting from outside: the tree that SageMaker makes, the real entry as a process, real HTTP."""

import io
import logging
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright import client
from segwright.cli import main
from segwright.errors import BundleError
from segwright.inference import load
from segwright.sagemaker import serve as serve_entry
from segwright.sagemaker.paths import Paths
from segwright.sagemaker.serve import run_serving
from segwright.serving import ServingSettings
from tests.helpers.gluoncv import recorded_arrays
from tests.helpers.mxnet_params_writer import write_params
from tests.helpers.served import picture, server, write_bundle

ENTRY = ("-m", "segwright", "container", "serve")


def environment(root: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "SEGWRIGHT_ML_ROOT": str(root), "CUDA_VISIBLE_DEVICES": "", **variables}


@pytest.fixture
def port() -> str:
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_an_artefact_of_the_original_is_served_as_it_lies(tmp_path: Path, port: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model_best.params").write_bytes(write_params(recorded_arrays("fcn").items()))
    (model / "model_algo-1").write_bytes(b"not read: the endpoint uses the best weights")
    (model / "hyperparams.json").write_text('{"algorithm": "fcn", "backbone": "resnet-50", "num_classes": "5"}')
    before = sorted(model.iterdir())
    with server(*ENTRY, environment=environment(tmp_path, SAGEMAKER_BIND_TO_PORT=port)) as running:
        assert running.address.endswith(f":{port}")
        with running.client() as asked:
            assert asked.get("/ping").status_code == 200
            assert asked.get("/").status_code == 404, "the page is for laptops"
            sent = picture("JPEG")
            shown = asked.post("/invocations", content=sent, headers={"Accept": "image/png"})
            record = asked.post("/invocations", content=sent, headers={"Content-Type": "image/jpeg"})
            assert asked.get("/metrics").status_code == 404
        assert running.stop() == 0
        assert sum(line.startswith("#metrics {") for line in running.printed) == 2
        assert not any("/invocations 200" in line for line in running.printed)
        assert not any("curl" in line or "Try" in line for line in running.printed + running.messages)
    mask = np.asarray(Image.open(io.BytesIO(shown.content)))
    probabilities = client.read_probabilities(record.content, record.headers["content-type"])
    assert mask.shape == (40, 57) and probabilities.shape == (5, 40, 57)
    assert np.array_equal(probabilities.argmax(0), mask)
    assert sorted(model.iterdir()) == before  # the platform mounts it read-only


def test_a_multi_model_endpoint_begins_empty_and_loads_what_is_requested(tmp_path: Path, port: str) -> None:
    write_bundle(tmp_path / "models" / "one" / "model")
    variables = {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_BIND_TO_PORT": port, "SEGWRIGHT_METRICS": "1"}
    with server(*ENTRY, environment=environment(tmp_path, **variables)) as running, running.client() as asked:
        assert asked.get("/ping").status_code == 200 and asked.get("/models").json()["models"] == []
        assert asked.post("/models", json={"model_name": "one", "url": "/opt/ml/models/one/model"}).status_code == 200
        answer = asked.post("/models/one/invoke", content=picture(), headers={"Accept": "image/png"})
        assert answer.status_code == 200 and client.read_mask(answer.content, "image/png").shape == (40, 57)
        assert 'model="one"' in asked.get("/metrics").text
        assert running.stop() == 0


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SAGEMAKER_BIND_TO_PORT": "eight"}, "SAGEMAKER_BIND_TO_PORT is eight; it takes the number of a port"),
        ({"SEGWRIGHT_ACCESS_LOG": "yes"}, "SEGWRIGHT_ACCESS_LOG is yes; it takes errors or text or json."),
        ({"SEGWRIGHT_METRICS": "yes"}, "SEGWRIGHT_METRICS is yes; it takes false or true or 0 or 1."),
        ({"SAGEMAKER_BIND_TO_PORT": "0"}, "SAGEMAKER_BIND_TO_PORT is 0"),
        ({}, "does not exist; give the folder"),
        ({"SEGWRIGHT_PRECISION": "half"}, "SEGWRIGHT_PRECISION is half; it takes one of float32, bfloat16, float16"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    tmp_path: Path,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    said: str,
) -> None:
    for name, value in environment(tmp_path, **{"SAGEMAKER_BIND_TO_PORT": port, **variables}).items():
        monkeypatch.setenv(name, value)
    assert main(["container", "serve"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line


@pytest.mark.parametrize(("asked", "precision"), [("", "float32"), (" auto ", "auto")])
def test_endpoints_are_exact_unless_another_format_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, precision: str
) -> None:
    served: list[ServingSettings] = []
    monkeypatch.setattr(serve_entry, "serve", lambda _model, settings: served.append(settings))
    monkeypatch.setattr(serve_entry, "log_to_stdout", lambda: None)
    run_serving(Paths.from_environment({"SEGWRIGHT_ML_ROOT": str(tmp_path), "SEGWRIGHT_PRECISION": asked}))
    assert [settings.precision for settings in served] == [precision]


@pytest.mark.parametrize("below", ["", "model", "out/model"])
def test_the_only_model_below_the_folder_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, below: str
) -> None:
    caplog.set_level(logging.INFO)
    write_bundle(tmp_path / "model" / below)
    (tmp_path / "model" / "code").mkdir()
    (tmp_path / "model" / "__MACOSX" / "model").mkdir(parents=True)
    assert load(tmp_path / "model", "cpu").class_names == ("class 0", "class 1", "class 2")
    assert (f"the model is in the folder {below}" in caplog.text) == bool(below)


def test_several_models_below_the_folder_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_bundle(tmp_path / name)
    with pytest.raises(BundleError, match=r"several models \(one, two\)"):
        load(tmp_path, "cpu")
