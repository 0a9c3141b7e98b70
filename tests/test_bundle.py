import json
from pathlib import Path
from typing import Any

import pytest
import torch

from segwright.bundle import (
    BundleWriter,
    ClassDescription,
    Description,
    host_copy,
    load_network,
    read_description,
    versions,
)
from segwright.errors import BundleError, OutputExistsError
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
    ],
)
def test_foreign_descriptions_are_one_clear_error(bundle: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(bundle, **changes)
    with pytest.raises(BundleError, match=message):
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
    rewrite(bundle, network={**spec, "num_classes": 5})
    with pytest.raises(BundleError, match="does not hold the network"):
        load_network(bundle)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        read_description(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        read_description(tmp_path / "nowhere")
