import json
import random
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from segwright.bundle import load_network, read_description
from segwright.cli import main
from segwright.errors import BundleError, OutputExistsError, UserError
from segwright.inference import load
from segwright.mxnet import import_model, is_mxnet_model, read_mxnet_model
from segwright.mxnet.artefact import find_files
from segwright.mxnet.model import describe_model
from segwright.mxnet.state_dict import torch_name
from segwright.networks import Algorithm, NetworkSpec, SegmentationNetwork, build_network
from tests.helpers.gluoncv import (
    FIXTURES,
    exported,
    logits_for_recorded_pixels,
    prefixed,
    recorded_arrays,
    structural_names,
)
from tests.helpers.mxnet_params_writer import write_params

Arrays = dict[str, NDArray[Any]]

SETTINGS = {
    "algorithm": "fcn",
    "backbone": "resnet-50",
    "num_classes": "5",
    "epochs": "30",
    "learning_rate": "0.0001",
    "crop_size": "240",
    "optimizer": "rmsprop",
    "early_stopping": "True",
    "lr_scheduler_step": "10, 20",
    "_workers": "16",
    "_aux_loss": "True",
    "_kvstore": "device",
    "_tuning_objective_metric": "validation:mIOU",
    "something_new": "1",
}


@pytest.fixture(scope="module")
def arrays() -> dict[str, NDArray[np.float32]]:
    return recorded_arrays("fcn")


@pytest.fixture(scope="module")
def weights(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights, to be linked to rather than written again."""
    file = tmp_path_factory.mktemp("weights") / "fcn"
    file.write_bytes(write_params(arrays.items()))
    return file


@pytest.fixture(autouse=True)
def nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks begin with NaN in place of random numbers, which take longer: what is not read from a file shows."""
    for draw in ("normal_", "uniform_"):
        monkeypatch.setattr(torch.Tensor, draw, lambda values, *_, **__: values.fill_(torch.nan))


def write_folder(folder: Path, settings: dict[str, Any] | None = None, **files: bytes) -> Path:
    """A folder as SageMaker's algorithm leaves it; `best` and `last` are its files of weights."""
    folder.mkdir(exist_ok=True)
    names = {"best": "model_best.params", "last": "model_algo-1"}
    for key, data in files.items():
        (folder / names[key]).write_bytes(data)
    if settings is not None:
        (folder / "hyperparams.json").write_text(json.dumps(settings))
    return folder


def pack(folder: Path, ending: str = ".tar.gz") -> Path:
    archive = folder.with_name(f"model{ending}")
    plain = ending == ".tar"
    with tarfile.open(archive, "w") if plain else tarfile.open(archive, "w:gz", compresslevel=0) as members:
        for file in sorted(folder.iterdir()):
            members.add(file, file.name)
    return archive


def assert_same(state: dict[str, torch.Tensor], arrays: Arrays) -> None:
    """A state dict has the values of GluonCV's arrays and nothing else."""
    assert {torch_name(name) for name in arrays} == {name for name in state if not name.endswith("num_batches_tracked")}
    for name, values in arrays.items():
        assert state[torch_name(name)].dtype == torch.float32
        assert np.array_equal(state[torch_name(name)].numpy(), values.astype(np.float32, copy=False)), name


def assert_logits_are_recorded(network: SegmentationNetwork, algorithm: Algorithm) -> None:
    with np.load(FIXTURES / f"{algorithm}_resnet50_c5.npz") as recorded:
        heads = ("main", "aux") if network.spec.auxiliary else ("main",)
        for head, logits in zip(heads, logits_for_recorded_pixels(network, 65, 129), strict=False):
            expected = recorded[f"{head}_65x129"]
            assert np.abs(logits - expected).max() / np.abs(expected).max() < 1e-4


def as_structural(arrays: Arrays, algorithm: Algorithm) -> bytes:
    return write_params(arrays.items())


def as_shuffled_prefixed(arrays: Arrays, algorithm: Algorithm) -> bytes:
    """As Python 2 wrote them: dictionaries had no order."""
    named = [(prefixed(name, algorithm, 3), values) for name, values in arrays.items()]
    random.Random(5).shuffle(named)
    return write_params(named)


def as_exported(arrays: Arrays, algorithm: Algorithm) -> bytes:
    """Without auxiliary head, arguments before running statistics."""
    named = [
        (exported(prefixed(name, algorithm)), each) for name, each in arrays.items() if not name.startswith("auxlayer")
    ]
    return write_params(sorted(named, key=lambda pair: pair[0].startswith("aux:")))


@pytest.mark.parametrize(
    ("algorithm", "write", "auxiliary", "ending"),
    [
        ("fcn", as_structural, True, ".tar"),
        ("psp", as_shuffled_prefixed, True, ".tar"),
        ("deeplab", as_exported, False, ".tar.gz"),
    ],
)
def test_an_imported_archive_gives_gluoncvs_logits(
    algorithm: Algorithm,
    write: Any,
    auxiliary: bool,
    ending: str,
    arrays: Arrays,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = {**SETTINGS, "algorithm": algorithm, "_aux_loss": str(auxiliary)}
    folder = write_folder(tmp_path / "unpacked", settings, best=write(recorded_arrays(algorithm, arrays), algorithm))
    archive, bundle = pack(folder, ending), tmp_path / "bundle"
    assert main(["import-model", str(archive), str(bundle)]) == 0
    said = capsys.readouterr().err
    assert f"model{ending}: {algorithm} on resnet-50, 5 classes, with" in said
    assert "best weights model_best.params, last weights model_best.params, settings hyperparams.json" in said
    assert f"the model: {bundle}" in said
    assert f"Imported from {archive} by Segwright" in (bundle / "README.md").read_text()
    description, network = load_network(bundle)
    assert description.network.auxiliary is auxiliary
    assert (description.network.algorithm, description.network.backbone) == (algorithm, "resnet-50")
    assert_logits_are_recorded(network, algorithm)


def test_both_files_of_weights_and_the_settings_come_along(weights: Path, arrays: Arrays, tmp_path: Path) -> None:
    later = {**arrays, "head.block.4.bias": np.full(5, 7, np.float32)}
    folder = write_folder(tmp_path / "model", SETTINGS, last=write_params(later.items()))
    (folder / "model_best.params").hardlink_to(weights)
    description = import_model(folder, tmp_path / "bundle")
    assert read_description(tmp_path / "bundle") == description
    assert_same(load_file(tmp_path / "bundle" / "model.safetensors"), arrays)
    assert_same(load_file(tmp_path / "bundle" / "last.safetensors"), later)
    assert description.class_names == tuple(f"class {number}" for number in range(5))
    assert description.label_map("train").scale == description.label_map("validation").scale == 1
    assert description.started_from == str(folder)
    assert (description.data, description.metrics) == ({}, {"best": None, "last": None})
    settings = description.hyperparameters
    assert (settings["recipe"], settings["epochs"], settings["optimizer"]) == ("sagemaker", 30, "rmsprop")
    assert (settings["num_classes"], settings["early_stopping"], settings["workers"]) == (5, True, 16)
    assert settings["lr_scheduler_step"] == [10, 20]
    assert "something_new" not in settings


def halved(values: NDArray[np.float32]) -> NDArray[Any]:
    """As `net.cast("float16")` does it: what belongs to a BatchNorm stays as it is."""
    return values.astype(np.float16) if values.ndim > 1 else values


def test_half_precision_becomes_single_in_a_list_without_names(arrays: Arrays, tmp_path: Path) -> None:
    file = tmp_path / "anything"
    halves = {name: halved(values) for name, values in arrays.items()}
    file.write_bytes(write_params(("", values) for values in halves.values()))
    description, network = read_mxnet_model(file)
    assert not network.training
    assert_same(network.state_dict(), halves)
    assert description.started_from == str(file)


def test_predict_takes_the_folder_itself(weights: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model")
    (folder / "fcn-0030.params").hardlink_to(weights)
    (folder / "._fcn-0030.params").write_bytes(b"what a Mac adds")
    assert is_mxnet_model(folder)
    model = load(folder, "cpu")
    image = np.random.default_rng(0).integers(0, 256, (33, 41, 3), np.uint8)
    with torch.inference_mode():
        logits = model.network(torch.from_numpy(image).permute(2, 0, 1)[None])
    np.testing.assert_array_equal(model.mask(image), logits[0].argmax(0).numpy())


def counting(first: int, shape: torch.Size) -> NDArray[np.float32]:
    """Numbers that tell an array, and the places in it, apart."""
    return np.arange(first, first + shape.numel(), dtype=np.float32).reshape(shape)


def test_the_largest_network_comes_back_as_it_was(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = build_network(NetworkSpec("psp", "resnet-101", num_classes=21))
    shapes = {name: values.shape for name, values in network.state_dict().items()}
    places = [(name, shapes[torch_name(name)]) for name in structural_names("psp", "resnet-101")]
    written = {name: counting(number, shape) for number, (name, shape) in enumerate(places)}
    assert sum(values.size for values in written.values()) == 68_185_066
    named = [(prefixed(name, "psp", 1), values) for name, values in written.items()]
    (tmp_path / "psp.params").write_bytes(write_params(reversed(named)))
    description, read = read_mxnet_model(tmp_path / "psp.params")
    assert description.network == read.spec == network.spec
    assert_same(read.state_dict(), written)


FACTS = ("algorithm", "backbone", "num_classes", "aux_loss")


def test_the_last_weights_serve_alone_and_without_settings(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "model")
    (folder / "model_algo-1").hardlink_to(weights)
    description, network = read_mxnet_model(folder)
    assert description.network == network.spec
    assert [description.hyperparameters[name] for name in FACTS] == ["fcn", "resnet-50", 5, True]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            '{"num_classes": "21"}',
            "the settings have num_classes 21, but the weights are of a network with 5; the weights",
        ),
        ('{"algorithm": "psp"}', "the settings have algorithm psp, but .* with fcn"),
        ('{"backbone": "resnet-101"}', "the settings have backbone resnet-101, but .* with resnet-50"),
        ('{"epochs": "none"}', 'the settings of the training are left out: epochs is "none"; it takes a whole number'),
        ("{", "hyperparams.json is left out, because it cannot be read"),
        ("[1]", "hyperparams.json is left out, .*: it holds no settings"),
    ],
)
def test_the_weights_count_whatever_the_settings_say(
    text: str, warning: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "model", best=b"not looked into")
    (folder / "hyperparams.json").write_text(text)
    spec = NetworkSpec("fcn", "resnet-50", num_classes=5)
    description = describe_model(find_files(folder), spec)
    assert [description.hyperparameters[name] for name in FACTS] == ["fcn", "resnet-50", 5, True]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert re.search(warning, record.getMessage())


def test_numbers_that_are_none_are_warned_of(arrays: Arrays, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spoilt = {**arrays, "bn1.gamma": np.full(128, np.nan, np.float32)}
    (tmp_path / "x.params").write_bytes(write_params(spoilt.items()))
    _, network = read_mxnet_model(tmp_path / "x.params")
    assert network.state_dict()[torch_name("bn1.gamma")].isnan().all()
    assert "1 of 289 arrays hold NaN or infinite numbers, backbone.features.bn1.weight for example" in caplog.text


@pytest.mark.parametrize(
    ("damage", "warning"),
    [
        ("another", "model/model_algo-1: 7 arrays of the network are missing"),
        ("short", "model/model_algo-1 was cut off"),
    ],
)
def test_last_weights_that_cannot_be_used_cost_only_themselves(
    weights: Path, arrays: Arrays, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, warning: str
) -> None:
    fewer = {name: values for name, values in arrays.items() if not name.startswith("auxlayer")}
    last = write_params(fewer.items()) if damage == "another" else weights.read_bytes()[:-100]
    folder = write_folder(tmp_path / "model", last=last)
    (folder / "model_best.params").hardlink_to(weights)
    import_model(folder, tmp_path / "bundle")
    assert warning in caplog.text and "The best weights stand in for the last ones" in caplog.text
    best, last_weights = (load_file(tmp_path / "bundle" / name) for name in ("model.safetensors", "last.safetensors"))
    assert all(torch.equal(value, last_weights[name]) for name, value in best.items())


def test_an_existing_bundle_is_replaced_only_on_request(weights: Path, tmp_path: Path) -> None:
    bundle = write_folder(tmp_path / "bundle", {"algorithm": "fcn"})
    (bundle / "bundle.json").write_text("an older one")
    with pytest.raises(OutputExistsError, match="overwrite"):
        import_model(weights, bundle)
    assert main(["import-model", str(weights), str(bundle), "--overwrite"]) == 0
    assert read_description(bundle).network.num_classes == 5
    assert not (bundle / "hyperparams.json").exists()


def test_bundles_of_our_own_need_no_import(tmp_path: Path) -> None:
    bundle = write_folder(tmp_path / "bundle", SETTINGS, best=b"kept for old readers")
    (bundle / "bundle.json").write_text("{}")
    for source in (bundle, pack(bundle)):
        with pytest.raises(BundleError, match=f"{source.name} is a Segwright bundle already.*All commands take it"):
            import_model(source, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["model_best.params"], True),
        (["model_algo-1", "hyperparams.json"], True),
        (["a.params"], True),
        (["a.params", "b.params"], False),
        (["a.params", "b.params", "model_best.params"], True),
        (["model_best.params", "bundle.json"], False),
        (["hyperparams.json"], False),
    ],
)
def test_which_folders_are_mxnet_models(names: list[str], expected: bool, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert is_mxnet_model(tmp_path) is expected
    assert not is_mxnet_model(tmp_path / names[0])
    assert not is_mxnet_model(tmp_path / "absent")


SMALL = np.zeros((4, 3, 1, 1), np.float32)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is damaged or was cut off"),
        (b"PK\3\4", "is no .tar or .tar.gz"),
        (write_params([("a.weight", SMALL)])[:-3], "x was cut off: name 0 needs 8 bytes"),
        (write_params([("", SMALL)]), "x: there are 1 arrays without structural names, but .* 282, 289"),
        (write_params([("a.weight", SMALL)]), "x: 'a.weight' is not the name of an array in GluonCV's FCN, PSPNet"),
        (write_params([("a.weight", SMALL)] * 2), "x: there is more than one array called 'a.weight'"),
        (None, "x does not exist; it should be a model.tar.gz"),
    ],
)
def test_sources_that_are_no_model(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        import_model(tmp_path / "x", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_folders_and_archives_that_hold_no_model(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", {"algorithm": "fcn"})
    for source in (folder, pack(folder)):
        with pytest.raises(BundleError, match=f"{source.name} holds no model .* It holds: hyperparams.json"):
            import_model(source, tmp_path / "bundle")


def test_what_lies_in_an_archive_is_named_by_the_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = pack(write_folder(tmp_path / "model", best=write_params([("a.weight", SMALL)])))
    assert main(["import-model", str(archive), str(tmp_path / "bundle")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {archive}/model_best.params: 'a.weight' is not")
