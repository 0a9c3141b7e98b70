import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
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
from segwright.labels import LabelMap
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network
from tests.conftest import TINY_BACKBONE
from tests.helpers.label_maps import label_maps


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(NetworkSpec(algorithm="psp", backbone=TINY_BACKBONE, num_classes=2)).eval()


def describe(network: SegmentationNetwork) -> Description:
    return Description(
        network=network.spec,
        classes=tuple(
            ClassDescription(index=index, name=["sky", "Straße"][index % 2], colour=(index, 2, 3))
            for index in range(network.spec.num_classes)
        ),
        label_maps={"train": {"scale": 1}, "validation": {"map": {"0": [7], "1": [255]}}},
        hyperparameters={"epochs": 1},
        data={},
        metrics={"best": {"mean_iou": 0.5}, "last": None},
        versions=versions(),
    )


def save(writer: BundleWriter, network: SegmentationNetwork, *records: dict[str, Any]) -> None:
    writer.save(describe(network), last=host_copy(network), best=host_copy(network), records=records)


@pytest.fixture
def bundle(tmp_path: Path, network: SegmentationNetwork) -> Path:
    path = tmp_path / "model"
    save(BundleWriter(path, overwrite=False), network, {"epoch": 1})
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


FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FINITE | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=5,
)


@st.composite
def specs(draw: st.DrawFn, most_bands: int, most_classes: int) -> NetworkSpec:
    bands = draw(st.integers(1, most_bands))
    std = st.floats(0, allow_infinity=False, exclude_min=True)
    return NetworkSpec(
        algorithm=draw(st.sampled_from(["fcn", "psp", "deeplab"])),
        backbone=TINY_BACKBONE,
        num_classes=draw(st.integers(1, most_classes)),
        output_stride=draw(st.sampled_from([8, 16, 32])),
        auxiliary=draw(st.booleans()),
        bands=bands,
        bit_depth=draw(st.integers(1, 16)),
        mean=draw(st.none() | st.tuples(*[FINITE] * bands)),
        std=draw(st.none() | st.tuples(*[std] * bands)),
    )


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    spec = draw(specs(most_bands=12, most_classes=254))
    byte = st.integers(0, 255)
    names = draw(st.lists(st.text(), min_size=1, max_size=5))
    colours = draw(st.lists(st.tuples(byte, byte, byte), min_size=1, max_size=5))
    return Description(
        network=spec,
        classes=tuple(
            ClassDescription(index=index, name=names[index % len(names)], colour=colours[index % len(colours)])
            for index in range(spec.num_classes)
        ),
        label_maps={channel: draw(label_maps()).to_json() for channel in ("train", "validation")},
        hyperparameters=draw(st.dictionaries(st.text(), JSON, max_size=3)),
        data=draw(st.dictionaries(st.text(), JSON, max_size=3)),
        metrics={name: draw(st.none() | st.builds(lambda it: {"mean_iou": it}, FINITE)) for name in ("best", "last")},
        versions={**versions(), **draw(st.dictionaries(st.text(), st.text(), max_size=3))},
        started_from=draw(st.none() | st.text()),
    )


def bits(value: torch.Tensor) -> bytes:
    return value.numpy().tobytes()


@settings(max_examples=30)
@given(descriptions(), JSON)
def test_any_description_comes_back(
    tmp_path_factory: pytest.TempPathFactory, description: Description, record: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    weights = {"weight": torch.ones(1)}
    BundleWriter(path, overwrite=True).save(description, last=weights, best=weights, records=[{"epoch": record}, {}])
    again = read_description(path)
    assert again == description
    assert repr(again) == repr(description)  # 1 is not 1.0, and a list no tuple
    for channel, label_map in description.label_maps.items():
        assert again.label_map(channel) == LabelMap.from_json(label_map)
    lines = (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": record}, {}]


# Without shrinking, which for networks takes minutes and gigabytes.
@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(specs(most_bands=5, most_classes=9), st.integers(0, 2**32 - 1))
def test_any_weights_come_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, spec: NetworkSpec, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def randomised(value: torch.Tensor) -> torch.Tensor:
        """Any bits: infinities, NaN and denormal numbers too."""
        size = (*value.shape, value.element_size())
        return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator).view(value.dtype).squeeze(-1)

    network = build_network(spec)
    last, best = ({name: randomised(value) for name, value in network.state_dict().items()} for _ in range(2))
    path = tmp_path_factory.getbasetemp() / "any"
    BundleWriter(path, overwrite=True).save(describe(network), last=last, best=best, records=[])
    for file, written in (("model.safetensors", best), ("last.safetensors", last)):
        description, loaded = load_network(path, file)
        assert description == describe(network) and loaded.spec == network.spec and not loaded.training
        state = loaded.state_dict()
        assert {name: value.dtype for name, value in state.items()} == {n: value.dtype for n, value in written.items()}
        assert [name for name, value in written.items() if bits(state[name]) != bits(value)] == []


def test_later_saves_replace_weights_and_metrics(tmp_path: Path, network: SegmentationNetwork) -> None:
    path = tmp_path / "model"
    writer = BundleWriter(path, overwrite=False)
    first = host_copy(network)
    second = {name: torch.zeros_like(value) for name, value in first.items()}
    writer.save(describe(network), last=first, best=first, records=[{"epoch": 1}])
    writer.save(describe(network), last=second, best=first, records=[{"epoch": 1}, {"epoch": 2}])
    _, best = load_network(path)
    _, last = load_network(path, "last.safetensors")
    assert all(torch.equal(value, first[name]) for name, value in best.state_dict().items())
    assert all((value == 0).all() for value in last.state_dict().values())
    assert [json.loads(line)["epoch"] for line in (path / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_an_existing_bundle_is_refused_and_replaced_only_by_a_complete_one(
    bundle: Path, network: SegmentationNetwork
) -> None:
    with pytest.raises(OutputExistsError, match="overwrite"):
        BundleWriter(bundle, overwrite=False)
    writer = BundleWriter(bundle, overwrite=True)
    assert load_network(bundle)[0].hyperparameters == {"epochs": 1}
    changed = describe(network).model_copy(update={"hyperparameters": {"epochs": 2}})
    writer.save(changed, last=host_copy(network), best=host_copy(network), records=[])
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
        ({"classes": [{"index": "x"}]}, r"damaged: classes\.0"),
        ({"network": {"algorithm": "unet"}}, "damaged: network"),
        ({"label_maps": {"train": {"scale": 1}}}, "damaged: label_maps: validation is missing"),
        ({"label_maps": {"validation": {"scale": 1}}}, "damaged: label_maps: train is missing"),
        ({"label_maps": {"train": {"scale": 1}, "validation": {"scale": 0}}}, "label_maps: validation: the scale"),
        ({"label_maps": {"train": [1], "validation": {"scale": 1}}}, "label_maps: train: a label map is"),
        ({"classes": []}, "damaged: classes: .*0 to 1"),
        ({"classes": [SKY]}, "damaged: classes: .*0 to 1"),
        ({"classes": [{**SKY, "index": 1}, {**SKY, "index": 0}]}, "damaged: classes: .*in order"),
        ({"classes": [{**SKY, "colour": [0, 256, 0]}]}, r"damaged: classes\.0\.colour\.1: .*255"),
        ({"classes": [{**SKY, "colour": [0, 0, -1]}]}, r"damaged: classes\.0\.colour\.2: "),
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
    with pytest.raises(BundleError, match=f"damaged: network: {name} has {len(values)} numbers for 3 bands"):
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
    with pytest.raises(BundleError, match=r"does not hold bundle\.json.s network"):
        load_network(bundle)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        read_description(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        read_description(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.tar.gz", "fcn-0030.params", "model_algo-1"])
def test_a_file_is_no_bundle_but_may_become_one(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(BundleError, match=f"{name} is a file, not the folder .* unpack it .*`segwright import-model`"):
        read_description(tmp_path / name)


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        ({"started_from": "old/model.tar.gz"}, "Imported from old/model.tar.gz"),
        ({"started_from": "old", "data": {"train": {}}}, "Trained"),
        ({}, "Trained"),
    ],
)
def test_the_readme_says_where_the_model_comes_from(
    changes: dict[str, Any], origin: str, tmp_path: Path, network: SegmentationNetwork
) -> None:
    description, weights = describe(network).model_copy(update=changes), host_copy(network)
    BundleWriter(tmp_path / "model", overwrite=False).save(description, last=weights, best=weights, records=[])
    lines = (tmp_path / "model" / "README.md").read_text().splitlines()
    assert (
        f"{origin} by Segwright {versions()['segwright']}: psp on {TINY_BACKBONE}, validation mean IoU 0.5000." in lines
    )


def test_an_older_bundle_is_kept_until_the_first_save(bundle: Path, network: SegmentationNetwork) -> None:
    writer = BundleWriter(bundle, overwrite=True)
    assert writer.keeps_older
    save(writer, network)
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
        save(writer, network)
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
        save(writer, network)
    assert writer.keeps_older
    assert load_network(bundle)[0] == describe(network)
    assert [path for path in bundle.iterdir() if path.name.startswith(".")] == []


def test_weights_are_as_readable_as_the_description(bundle: Path) -> None:
    assert (bundle / "model.safetensors").stat().st_mode == (bundle / "bundle.json").stat().st_mode
