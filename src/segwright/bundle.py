"""A trained model on disk: a directory that says everything needed to use it.

::

    model.safetensors    the best weights by validation mean IoU
    last.safetensors     the weights after the last epoch
    bundle.json          network, classes, preprocessing, hyperparameters, data, metrics, versions
    metrics.jsonl        one line an epoch
    README.md            for whoever finds the directory in two years

Knows how a network is described and stored. Refuses to know how it is trained or used. Loading never unpickles.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import segwright
from segwright.errors import BundleError, LabelError, UserError
from segwright.formats.pixels import PixelFormat
from segwright.labels import LabelMap
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network
from segwright.storage import (
    atomic_directory,
    atomic_file,
    check_replaceable,
    check_writable_folder,
    describe_folder,
    write_bytes,
)

FORMAT_VERSION: Final = 1
BEST: Final = "model.safetensors"
LAST: Final = "last.safetensors"
DESCRIPTION: Final = "bundle.json"

State = Mapping[str, Tensor]
Byte = Annotated[int, Field(ge=0, le=255)]


class ClassDescription(BaseModel):
    """One class: its index in masks, its name and its colour in overlays (RGB, 0-255)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    index: int
    name: str
    colour: tuple[Byte, Byte, Byte]


class Description(BaseModel):
    """What `bundle.json` holds. Readers ignore keys that they do not know.

    Classes stand in the order of their indices, one for each that the network knows. Raises ValidationError for
    anything that does not fit together.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format_version: int = FORMAT_VERSION
    network: NetworkSpec
    classes: tuple[ClassDescription, ...]
    label_maps: dict[str, Any]
    """The label map of each channel, `train` and `validation`, in its JSON form."""
    hyperparameters: dict[str, Any]
    data: dict[str, Any]
    """The data reports of both channels: counts, sizes, class histogram, fingerprint."""
    metrics: dict[str, Any]
    """The validation scores of both weight files, `best` and `last`, computed in the training's number format; null
    where a file was never validated."""
    versions: dict[str, str]
    started_from: str | None = None
    """The bundle that the training started from, as it was named; None for a training from the beginning."""

    @field_validator("network")
    @classmethod
    def _a_mean_and_std_for_each_band(cls, network: NetworkSpec) -> NetworkSpec:
        for name, values in (("mean", network.mean), ("std", network.std)):
            if values is not None and len(values) != network.bands:
                raise ValueError(f"{name} has {len(values)} numbers for {network.bands} bands")
        if network.std is not None and min(network.std) <= 0:
            raise ValueError("std holds a number that is not above 0")
        return network

    @field_validator("classes")
    @classmethod
    def _a_class_for_each_index(
        cls, classes: tuple[ClassDescription, ...], info: ValidationInfo
    ) -> tuple[ClassDescription, ...]:
        network = info.data.get("network")
        if network and [entry.index for entry in classes] != list(range(network.num_classes)):
            raise ValueError(
                f"with num_classes {network.num_classes}, their indices are 0 to {network.num_classes - 1} in order"
            )
        return classes

    @field_validator("label_maps")
    @classmethod
    def _a_label_map_for_each_channel(cls, label_maps: dict[str, Any]) -> dict[str, Any]:
        for channel in ("train", "validation"):
            if channel not in label_maps:
                raise ValueError(f"{channel} is missing")
            try:
                LabelMap.from_json(label_maps[channel])
            except LabelError as error:
                raise ValueError(f"{channel}: {error}") from error
        return label_maps

    @property
    def form(self) -> PixelFormat:
        """What the pixels of images have to be."""
        network = self.network
        return PixelFormat(network.bands, network.bit_depth, network.upright, network.numbers)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        return tuple(entry.name for entry in self.classes)

    def label_map(self, channel: str) -> LabelMap:
        """The label map that the masks of `channel` were read with."""
        return LabelMap.from_json(self.label_maps[channel])


def describe_classes(names: Sequence[str], palette: NDArray[np.uint8]) -> tuple[ClassDescription, ...]:
    """The classes by name and colour; `palette` is uint8 [C, 3]."""
    return tuple(
        ClassDescription(index=index, name=name, colour=(red, green, blue))
        for index, (name, (red, green, blue)) in enumerate(zip(names, palette.tolist(), strict=True))
    )


def versions() -> dict[str, str]:
    """The versions of what a trained model depends on."""
    return {
        "segwright": segwright.__version__,
        "torch": torch.__version__,
        "timm": version("timm"),
        "python": platform.python_version(),
    }


def host_copy(network: SegmentationNetwork) -> dict[str, Tensor]:
    """Copy a network's weights and running statistics to the CPU, laid out plainly."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in network.state_dict().items()}


class BundleWriter:
    """Writes a bundle that is complete and loadable from its first save on.

    An existing directory is touched by the first save only, and then replaced as a whole, so that a training
    that fails early leaves it as it was. Later saves replace one file at a time.
    """

    def __init__(self, path: Path, overwrite: bool, goes_on: bool = False) -> None:
        """Raise OutputExistsError when `path` exists and may not be overwritten, UserError when it is not writable.

        `goes_on` says that the bundle there is the writer's own, from an earlier process.
        """
        if not goes_on:
            check_replaceable(path, overwrite, DESCRIPTION)
        check_writable_folder(path)
        self.path, self._overwrite = path.resolve(), overwrite
        self._found_older = (path / DESCRIPTION).is_file()
        self.saved = goes_on
        """Whether the bundle at `path` is this writer's."""

    @property
    def keeps_older(self) -> bool:
        """Whether an older bundle is still in place: there was one, and nothing has been saved yet."""
        return self._found_older and not self.saved

    def save(self, description: Description, *, last: State, best: State, records: Sequence[Mapping[str, Any]]) -> None:
        """Write the last weights, the best ones, and the lines of metrics.

        Raises UserError when that fails, on a full disk for example.
        """
        try:
            if self.saved:
                _fill(self.path, description, last=last, best=best, records=records)
                return
            with atomic_directory(self.path, self._overwrite, DESCRIPTION) as folder:
                _fill(folder, description, last=last, best=best, records=records)
        except (SafetensorError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"the model cannot be written to {self.path}: {reason}") from error
        self.saved = True


def read_description(path: Path) -> Description:
    """Read `bundle.json` of a bundle. Raises BundleError when it is missing, damaged or of a newer format."""
    file = path / DESCRIPTION
    try:
        if not path.exists():
            raise BundleError(f"{path} does not exist; it should be the directory that a training left")
        if path.is_file():
            raise BundleError(
                f"{path} is a file, not the folder of a bundle; unpack it if it is the archive of one, or let "
                "`segwright import-model` make one of a model.tar.gz or .params file of SageMaker's original algorithm"
            )
        if not file.is_file():
            raise BundleError(
                f"{path} is not a Segwright bundle: it has no bundle.json. What is there: {describe_folder(path)}. It "
                "should be the directory that a training left, unpacked"
            )
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BundleError(f"{file} is damaged: {error}") from error
    written = document.get("format_version") if isinstance(document, dict) else None
    if not isinstance(written, int):
        raise BundleError(f"{file} was not written by Segwright: it has no format_version")
    if written > FORMAT_VERSION:
        raise BundleError(
            f"{file} has format version {written}, this Segwright {segwright.__version__} reads up to "
            f"{FORMAT_VERSION}: install a newer one"
        )
    try:
        return Description.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise BundleError(f"{file} is damaged at '{place}': {reason}") from error


def load_network(path: Path, weights: str = BEST) -> tuple[Description, SegmentationNetwork]:
    """Load a bundle's network onto the CPU, in evaluation mode. Raises BundleError when it is damaged."""
    description = read_description(path)
    network = build_network(description.network)
    file = path / weights
    try:
        state = load_file(file, device="cpu")
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{file} cannot be read as safetensors: {error}") from error
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise BundleError(
            f"{file} does not hold the network that bundle.json describes "
            f"({description.network.algorithm} on {description.network.backbone}): {_first_lines(error)}"
        ) from error
    return description, network.eval()


def _fill(
    folder: Path,
    description: Description,
    *,
    last: State,
    best: State,
    records: Sequence[Mapping[str, Any]],
) -> None:
    _save_weights(folder / LAST, last)
    _save_weights(folder / BEST, best)
    write_bytes(folder / DESCRIPTION, description.model_dump_json(indent=2).encode())
    write_bytes(folder / "README.md", _readme(description).encode())
    write_bytes(folder / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())


def _save_weights(path: Path, state: State) -> None:
    with atomic_file(path) as aside:
        aside.touch()
        mode = aside.stat().st_mode  # safetensors lets nobody but the owner read
        save_file(dict(state), aside, metadata={"format": "pt"})
        aside.chmod(mode)


def _readme(description: Description) -> str:
    network, best = description.network, description.metrics.get("best")
    score = "not validated" if best is None else f"validation mean IoU {best['mean_iou']:.4f}"
    names = ", ".join(f"{entry.index} {entry.name}" for entry in description.classes)
    return (
        "# A semantic segmentation model\n\n"
        f"{_origin(description)} by Segwright {description.versions['segwright']}: {network.algorithm} on "
        f"{network.backbone}, {score}.\n\n"
        f"Classes: {names}.\n\n"
        "```sh\nsegwright predict THIS_DIRECTORY PICTURES --output MASKS --overlay\n```\n\n"
        "`model.safetensors` holds the best weights by validation, `last.safetensors` those at the end, "
        "`bundle.json` all that is needed to use them, `metrics.jsonl` a line an epoch.\n"
    )


def _origin(description: Description) -> str:
    """How the model came to be: who saw no data imported it, or was stopped before they were read."""
    data = description.data
    if description.started_from and not data:
        return f"Imported from {description.started_from}"
    unread = data and not any(data.values()) and description.metrics.get("best") is None
    return "Stopped before it was trained, and written" if unread else "Trained"


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
