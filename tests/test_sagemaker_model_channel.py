from pathlib import Path

import pytest

from segwright.bundle import read_description
from segwright.errors import BundleError
from segwright.sagemaker.model_channel import unpack_parent_model
from segwright.sagemaker.paths import Paths
from tests.helpers import jobs
from tests.helpers.served import write_bundle


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    folder = tmp_path / "ml" / "input/data/model"
    folder.mkdir(parents=True)
    return folder


def unpacked(channel: Path) -> Path:
    tree = Paths(channel.parents[2])
    unpack_parent_model(tree)
    return tree.parent_model


def pack_notes(archive: Path, scratch: Path) -> None:
    scratch.mkdir()
    (scratch / "metrics.jsonl").write_text("{}")
    jobs.pack(scratch, archive)


@pytest.mark.parametrize("below", [".", "model"])
def test_an_unpacked_model_is_taken_whatever_archives_lie_beside_it(channel: Path, tmp_path: Path, below: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    bundle.rename(channel / below) if below != "." else [file.rename(channel / file.name) for file in bundle.iterdir()]
    (channel / "extra.params").write_bytes(b"no weights")
    pack_notes(channel / "output.tar.gz", tmp_path / "notes")
    assert read_description(unpacked(channel)).network.num_classes == 3


def test_the_archive_called_model_is_taken_among_others(channel: Path, tmp_path: Path) -> None:
    jobs.pack(write_bundle(tmp_path / "bundle"), channel / "model.tar.gz")
    pack_notes(channel / "output.tar.gz", tmp_path / "notes")
    assert read_description(unpacked(channel)).network.num_classes == 3


def test_several_archives_are_refused(channel: Path, tmp_path: Path) -> None:
    for name in ("a.tar.gz", "b.tar.gz"):
        pack_notes(channel / name, tmp_path / name)
    with pytest.raises(BundleError, match=r"several archives \(a\.tar\.gz, b\.tar\.gz\): name the S3 key of one"):
        unpacked(channel)
