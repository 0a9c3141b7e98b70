import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from segwright import bundle as bundle_module
from segwright.bundle import (
    BundleWriter,
    ClassDescription,
    Description,
    host_copy,
    load_network,
    read_description,
    versions,
)
from segwright.errors import BundleError, OutputExistsError, UserError
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network
from tests.conftest import TINY_BACKBONE


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(NetworkSpec(algorithm="psp", backbone=TINY_BACKBONE, num_classes=2)).eval()


def describe(network: SegmentationNetwork) -> Description:
    return Description(
        network=network.spec,
        classes=(
            ClassDescription(index=0, name="sky", colour=(1, 2, 3)),
            ClassDescription(index=1, name="Straße", colour=(4, 5, 6)),
        ),
        label_maps={"train": {"scale": 1}, "validation": {"map": {"0": [7], "1": [255]}}},
        hyperparameters={"epochs": 1},
        data={},
        metrics={"best": {"mean_iou": 0.5}, "last": None},
        versions=versions(),
    )


@pytest.fixture
def bundle(tmp_path: Path, network: SegmentationNetwork) -> Path:
    path = tmp_path / "model"
    BundleWriter(path, overwrite=False).save(describe(network), last=host_copy(network), best=None, record={"epoch": 1})
    return path


SKY = {"index": 0, "name": "sky", "colour": [1, 2, 3]}


def rewrite(bundle: Path, **changes: Any) -> None:
    file = bundle / "bundle.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_what_was_written_comes_back(bundle: Path, network: SegmentationNetwork) -> None:
    description, loaded = load_network(bundle)
    assert description == describe(network)
    assert not loaded.training
    image = torch.randint(0, 256, (1, 3, 33, 40), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(loaded(image), network(image))
    assert description.label_map("validation").values == ((7, 0), (255, 1))
    assert {file.name for file in bundle.iterdir()} == {
        "README.md",
        "bundle.json",
        "last.safetensors",
        "metrics.jsonl",
        "model.safetensors",
    }


def test_later_saves_keep_the_best_and_add_metrics(tmp_path: Path, network: SegmentationNetwork) -> None:
    path = tmp_path / "model"
    writer = BundleWriter(path, overwrite=False)
    first = host_copy(network)
    second = {name: torch.zeros_like(value) for name, value in first.items()}
    writer.save(describe(network), last=first, best=first, record={"epoch": 1})
    writer.save(describe(network), last=second, best=None, record={"epoch": 2})
    _, best = load_network(path)
    _, last = load_network(path, "last.safetensors")
    assert all(torch.equal(value, first[name]) for name, value in best.state_dict().items())
    assert all((value == 0).all() for value in last.state_dict().values())
    assert [json.loads(line)["epoch"] for line in (path / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_an_existing_bundle_is_refused_and_replaced_only_by_a_complete_one(
    bundle: Path, network: SegmentationNetwork
) -> None:
    with pytest.raises(OutputExistsError, match="--overwrite"):
        BundleWriter(bundle, overwrite=False)
    writer = BundleWriter(bundle, overwrite=True)
    assert load_network(bundle)[0].hyperparameters == {"epochs": 1}
    changed = describe(network).model_copy(update={"hyperparameters": {"epochs": 2}})
    writer.save(changed, last=host_copy(network), best=None, record=None)
    assert load_network(bundle)[0].hyperparameters == {"epochs": 2}
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_unknown_keys_are_ignored(bundle: Path) -> None:
    rewrite(bundle, thought_of_later={"a": 1})
    assert read_description(bundle).class_names == ("sky", "Straße")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"format_version": None}, "not written by Segwright"),
        ({"classes": [{"index": "x"}]}, r"damaged at 'classes\.0"),
        ({"network": {"algorithm": "unet"}}, "damaged at 'network"),
        ({"label_maps": {"train": {"scale": 1}}}, "damaged at 'label_maps': validation is missing"),
        ({"label_maps": {"validation": {"scale": 1}}}, "damaged at 'label_maps': train is missing"),
        ({"label_maps": {"train": {"scale": 1}, "validation": {"scale": 0}}}, "'label_maps': validation: the scale"),
        ({"label_maps": {"train": [1], "validation": {"scale": 1}}}, "'label_maps': train: a label map is"),
        ({"classes": []}, "damaged at 'classes'.*0 to 1"),
        ({"classes": [SKY]}, "damaged at 'classes'.*0 to 1"),
        ({"classes": [{**SKY, "index": 1}, {**SKY, "index": 0}]}, "damaged at 'classes'.*in order"),
        ({"classes": [{**SKY, "colour": [0, 256, 0]}]}, r"damaged at 'classes\.0\.colour\.1'.*255"),
        ({"classes": [{**SKY, "colour": [0, 0, -1]}]}, r"damaged at 'classes\.0\.colour\.2'"),
    ],
)
def test_foreign_descriptions_are_one_clear_error(bundle: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(bundle, **changes)
    with pytest.raises(BundleError, match=message):
        read_description(bundle)


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("values", [[0.5], [0.5] * 4, []])
def test_a_normalisation_of_other_bands_is_one_clear_error(bundle: Path, name: str, values: list[float]) -> None:
    network = json.loads((bundle / "bundle.json").read_text())["network"]
    rewrite(bundle, network={**network, name: values})
    with pytest.raises(BundleError, match=f"damaged at 'network': {name} has {len(values)} numbers for 3 bands"):
        read_description(bundle)


def test_a_description_that_cannot_be_read_is_one_clear_error(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(BundleError, match=r"bundle\.json cannot be read: Permission denied"):
        read_description(bundle)


def test_damaged_files_are_one_clear_error(bundle: Path) -> None:
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"model\.safetensors"):
        load_network(bundle)
    (bundle / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="damaged"):
        read_description(bundle)


def test_weights_of_another_network_are_one_clear_error(bundle: Path) -> None:
    spec = json.loads((bundle / "bundle.json").read_text())["network"]
    rewrite(bundle, network={**spec, "algorithm": "fcn"})
    with pytest.raises(BundleError, match="does not hold the network"):
        load_network(bundle)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        read_description(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        read_description(tmp_path / "nowhere")


def test_an_older_bundle_is_kept_until_the_first_save(bundle: Path, network: SegmentationNetwork) -> None:
    writer = BundleWriter(bundle, overwrite=True)
    assert writer.keeps_older
    writer.save(describe(network), last=host_copy(network), best=None, record=None)
    assert not writer.keeps_older
    (bundle.parent / "empty").mkdir()
    for path in ("empty", "new"):
        assert not BundleWriter(bundle.parent / path, overwrite=True).keeps_older


def test_the_output_does_not_move_with_the_current_directory(
    tmp_path: Path, network: SegmentationNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    writers = [BundleWriter(Path(), overwrite=False), BundleWriter(Path("../model"), overwrite=False)]
    monkeypatch.chdir(tmp_path / "there")
    for writer in writers:
        writer.save(describe(network), last=host_copy(network), best=None, record=None)
    assert {path.name for path in tmp_path.iterdir()} == {"here", "there", "model"}
    for name in ("here", "model"):
        assert read_description(tmp_path / name) == describe(network)
    assert list((tmp_path / "there").iterdir()) == []


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        BundleWriter(tmp_path / "file" / "model", overwrite=False)


@pytest.mark.parametrize("error", [SafetensorError("I/O error: full"), OSError(errno.ENOSPC, "full")])
def test_a_full_disk_is_one_clear_error_and_the_old_bundle_stays(
    bundle: Path, network: SegmentationNetwork, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    writer = BundleWriter(bundle, overwrite=True)
    monkeypatch.setattr(bundle_module, "save_file", fail)
    with pytest.raises(UserError, match=f"cannot be written to {bundle}: .*full"):
        writer.save(describe(network), last=host_copy(network), best=None, record=None)
    assert writer.keeps_older
    assert load_network(bundle)[0] == describe(network)
    assert [path for path in bundle.iterdir() if path.name.startswith(".")] == []


def test_whoever_reads_the_description_can_read_the_weights(bundle: Path) -> None:
    assert (bundle / "model.safetensors").stat().st_mode == (bundle / "bundle.json").stat().st_mode
