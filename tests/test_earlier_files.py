"""A bundle and a checkpoint that version 0.1 wrote, before modules and classes got the names they have."""

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import segwright
from tests.conftest import TINY_BACKBONE
from tests.helpers.earlier_files import checkpoint_file, unpack
from tests.helpers.trainings import records

EARLIER = Path(__file__).parent / "data" / "earlier_version"


def test_a_bundle_of_an_earlier_version_predicts(tmp_path: Path) -> None:
    bundle = tmp_path / "model"
    bundle.mkdir()
    shutil.copy(EARLIER / "bundle.json", bundle)
    (bundle / "model.safetensors").write_bytes(unpack(EARLIER / "model"))
    model = segwright.load(bundle, device="cpu")
    mask = model.mask(np.asarray(Image.open(EARLIER / "data/validation/0.jpg")))
    assert mask.shape == (40, 48)
    assert model.network.spec.backbone == TINY_BACKBONE
    assert np.isin(mask, [0, 1, 2]).all()


def test_a_checkpoint_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    checkpoint_file(EARLIER / "checkpoint", tmp_path / "model.checkpoints")
    settings = segwright.Hyperparameters.from_strings(
        {
            "algorithm": "fcn",
            "backbone": TINY_BACKBONE,
            "use_pretrained_model": "False",
            "epochs": "2",
            "crop_size": "32",
            "base_size": "48",
            "mini_batch_size": "2",
            "optimizer": "adam",
            "learning_rate": "0.01",
            "head_rate_factor": "1",
            "_workers": "0",
        }
    )
    segwright.train(
        segwright.Channels.locate(EARLIER / "data"),
        tmp_path / "model",
        settings,
        device="cpu",
        checkpoints=segwright.CheckpointPolicy(resume=True),
    )
    epochs = records(tmp_path / "model")
    before = (EARLIER / "metrics.jsonl").read_text().splitlines()[0]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert epochs[0] == json.loads(before)
