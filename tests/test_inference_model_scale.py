"""At which scale a model sees images."""

import json
import logging
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from segwright.bundle import DESCRIPTION, read_description
from segwright.errors import BundleError, UserError
from segwright.inference import Model, load, predict_files
from segwright.inference.logits import assemble, logit_blocks
from segwright.serving import ServingSettings, serve
from segwright.serving.app import ModelHolder, single_model_app
from segwright.serving.inference_pool import InferencePool
from tests.helpers.served import picture, pixels, write_bundle

IMAGE = pixels(picture())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("scaled") / "model", inference_scale=0.5)


def expected(model: Model, scale: float, tta: bool = False) -> np.ndarray:
    mask = np.empty(IMAGE.shape[:2], np.uint8)
    assemble(logit_blocks(model.runtime, IMAGE, scale=scale, tta=tta), mask)
    return mask


def test_a_model_predicts_at_its_own_scale_or_at_that_which_is_given(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        own = load(bundle, "cpu")
    assert "sees images at 0.5 times their size" in caplog.text
    assert (own.mask(IMAGE) == expected(own, 0.5)).all()
    assert (load(bundle, "cpu", scale=1).mask(IMAGE) == expected(own, 1)).all()
    assert (load(bundle, "cpu", tta=True).mask(IMAGE) == expected(own, 0.5, tta=True)).all()
    different = (expected(own, 0.5) != expected(own, 1)).any(), (expected(own, 0.5) != expected(own, 0.5, True)).any()
    assert different == (True, True), "or else this shows nothing"


def test_predict_and_the_server_use_the_models_scale(bundle: Path, tmp_path: Path) -> None:
    model = load(bundle, "cpu")
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    for scale in (None, 2.0):
        predict_files(bundle, [tmp_path / "a.png"], tmp_path / f"{scale}", device="cpu", scale=scale)
        with Image.open(tmp_path / f"{scale}" / "a.png") as mask:
            assert (np.asarray(mask) == expected(model, scale or 0.5)).all()
    with closing(InferencePool(ServingSettings())) as pool:
        client = TestClient(single_model_app(ModelHolder(model), pool))
        answer = client.post("/invocations", content=picture(), headers={"Accept": "image/png"})
    assert (pixels(answer.content) == expected(model, 0.5)).all()


def test_a_model_that_tells_left_from_right_sees_no_mirror_images(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(bundle, path)
    document = json.loads((path / DESCRIPTION).read_text())
    (path / DESCRIPTION).write_text(json.dumps({**document, "hyperparameters": {"flips": "none"}}))
    with pytest.raises(UserError, match=r"trained without them \(flips none\)"):
        load(path, "cpu", tta=True)
    load(path, "cpu")


@pytest.mark.parametrize("scale", [0, -1, 0.2, 5, float("nan")])
def test_a_scale_that_is_not_allowed_is_one_sentence(bundle: Path, scale: float) -> None:
    with pytest.raises(UserError, match=rf"scale is {scale:g}; it takes a number from 0\.25 to 4, or can be left out"):
        load(bundle, "cpu", scale=scale)


def test_the_servers_settings_reach_the_model(bundle: Path) -> None:
    with pytest.raises(UserError, match="scale is 9"):
        serve(bundle, ServingSettings(port=0, device="cpu", scale=9))


def test_bundles_without_a_scale_have_scale_1_and_a_bad_one_is_damage(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "model", inference_scale=2)
    file = path / DESCRIPTION
    document = json.loads(file.read_text())
    assert document["inference_scale"] == 2 and "images at 2 times their size" in (path / "README.md").read_text()
    file.write_text(json.dumps({name: value for name, value in document.items() if name != "inference_scale"}))
    assert read_description(path).inference_scale == 1
    file.write_text(json.dumps({**document, "inference_scale": 0}))
    with pytest.raises(BundleError, match="inference_scale"):
        read_description(path)
