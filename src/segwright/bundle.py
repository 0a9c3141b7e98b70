"""A trained model on disk: a directory that says everything needed to use it.

::

    model.safetensors    the best weights by validation mean IoU
    last.safetensors     the weights after the last epoch
    bundle.json          network, classes, preprocessing, hyperparameters, data, metrics, versions
    metrics.jsonl        one line an epoch, with `validation` where it had one
    README.md            a few lines about the model
    export/              what `segwright export` wrote (`segwright.exported`)

Loading never unpickles.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import segwright
from segwright.errors import BundleError, LabelError, UserError
from segwright.exported import BEST_WEIGHTS as BEST_WEIGHTS
from segwright.hyperparameters import Hyperparameters
from segwright.labels import LabelMap
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network
from segwright.palettes import default_palette
from segwright.storage import (
    atomic_directory,
    atomic_file,
    check_replaceable,
    check_writable_folder,
    describe_folder,
    write_bytes,
)

FORMAT_VERSION: Final = 1
LAST_WEIGHTS: Final = "last.safetensors"
DESCRIPTION: Final = "bundle.json"

State = Mapping[str, Tensor]
Byte = Annotated[int, Field(ge=0, le=255)]


class ClassDescription(BaseModel):
    """One class: its index in masks, its name, and its colour in overlays, RGB."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    index: int
    name: str
    colour: tuple[Byte, Byte, Byte]


class PrecisionCost(BaseModel):
    """What a number format costs: points, hundredths of mean IoU, that it is below float32 on the same images."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fall: float  # below 0 where it is better
    images: int


class Description(BaseModel):
    """What `bundle.json` holds; unknown keys are ignored. Raises ValidationError for what does not fit together."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format_version: int = FORMAT_VERSION
    network: NetworkSpec
    classes: tuple[ClassDescription, ...]  # by index, one for each that the network knows
    label_maps: dict[str, Any]  # of train and validation, in JSON form
    hyperparameters: dict[str, Any]
    data: dict[str, Any]  # of train and validation: counts, sizes, class histogram, fingerprint
    metrics: dict[str, Any]  # of the weights "best" and "last": validation scores in the training's precision, or null
    versions: dict[str, str]
    started_from: str | None = None  # the bundle that the training started from
    inference_scale: Annotated[float, Field(gt=0)] = 1.0  # the network sees images at so many times their size
    precisions: dict[str, PrecisionCost] = {}  # what number formats cost, by name, where a training has compared them
    class_bias: float = 0.0  # by which the weights favour rare classes, times minus the logarithm of their share
    temperature: Annotated[float, Field(gt=0)] | None = None  # by which logits are divided for probabilities, if fitted
    finished: bool = False  # whether the training has ended by itself
    reasons: dict[str, str] = {}  # why the recipe chose a hyperparameter, by name

    @model_validator(mode="after")
    def _check(self) -> Self:
        network, count = self.network, self.network.num_classes
        for name, values in (("mean", network.mean), ("std", network.std)):
            if values is not None and len(values) != network.bands:
                raise ValueError(f"network: {name} has {len(values)} numbers for {network.bands} bands")
        if network.std is not None and min(network.std) <= 0:
            raise ValueError("network: std holds a number that is not above 0")
        if [entry.index for entry in self.classes] != list(range(count)):
            raise ValueError(f"classes: with num_classes {count}, their indices are 0 to {count - 1} in order")
        for split in ("train", "validation"):
            if split not in self.label_maps:
                raise ValueError(f"label_maps: {split} is missing")
            try:
                self.label_map(split)
            except LabelError as error:
                raise ValueError(f"label_maps: {split}: {error}") from error
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        return tuple(entry.name for entry in self.classes)

    def label_map(self, split: str) -> LabelMap:
        """The label map that the masks of `train` or `validation` were read with."""
        return LabelMap.from_json(self.label_maps[split])


def describe(
    network: NetworkSpec,
    settings: Hyperparameters,
    class_names: Sequence[str],
    label_maps: tuple[LabelMap, LabelMap],
    *,
    palette: NDArray[np.uint8] | None = None,
    data: Mapping[str, Any] | None = None,
    started_from: Path | str | None = None,
    reasons: Mapping[str, str] | None = None,
) -> Description:
    """Describe a network without scores; `label_maps` are of train and validation, `palette` is uint8 [C, 3]."""
    colours = default_palette(len(class_names)) if palette is None else palette
    return Description(
        network=network,
        classes=tuple(
            ClassDescription(index=index, name=name, colour=(red, green, blue))
            for index, (name, (red, green, blue)) in enumerate(zip(class_names, colours.tolist(), strict=True))
        ),
        label_maps={"train": label_maps[0].to_json(), "validation": label_maps[1].to_json()},
        hyperparameters=settings.model_dump(mode="json"),
        data=dict(data or {}),
        metrics={"best": None, "last": None},
        versions=versions(),
        started_from=None if started_from is None else str(started_from),
        reasons=dict(reasons or {}),
        inference_scale=settings.validation_scale,
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
    """Copy a network's weights and running statistics to the CPU, contiguous."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in network.state_dict().items()}


class BundleWriter:
    """Writes a bundle that is complete and loadable from its first save on.

    The first save replaces an existing directory as a whole, so that a training that fails early leaves it as it was;
    later saves replace one file at a time.
    """

    def __init__(self, path: Path, overwrite: bool, resuming: bool = False) -> None:
        """Raise OutputExistsError when `path` exists and may not be overwritten, UserError when it is not writable.

        `resuming`: the bundle there is this training's own, from an earlier process.
        """
        if not resuming:
            check_replaceable(path, overwrite, DESCRIPTION)
        check_writable_folder(path)
        self.path, self._overwrite = path.resolve(), overwrite
        self._found_older = (path / DESCRIPTION).is_file()
        self._own = resuming

    @property
    def keeps_older(self) -> bool:
        """Whether an older bundle is still in place: there was one, and nothing has been saved yet."""
        return self._found_older and not self._own

    def read_own(self) -> Description | None:
        """The description in place, if an earlier process of this training has written it."""
        return read_description(self.path) if self._own and (self.path / DESCRIPTION).is_file() else None

    def save(self, description: Description, *, last: State, best: State, records: Sequence[Mapping[str, Any]]) -> None:
        """Write the last weights, the best ones, and the lines of metrics. Raises UserError when that fails."""
        target: AbstractContextManager[Path] = nullcontext(self.path)
        if not self._own:
            target = atomic_directory(self.path, self._overwrite, DESCRIPTION)
        metrics = "".join(json.dumps(record) + "\n" for record in records)
        try:
            with target as folder:
                _save_weights(folder / LAST_WEIGHTS, last)
                _save_weights(folder / BEST_WEIGHTS, best)
                write_bytes(folder / DESCRIPTION, description.model_dump_json(indent=2).encode())
                write_bytes(folder / "README.md", _readme(description).encode())
                write_bytes(folder / "metrics.jsonl", metrics.encode())
        except (SafetensorError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"The model cannot be written to {self.path}: {reason}") from error
        self._own = True


def read_description(path: Path) -> Description:
    """Read `bundle.json` of a bundle. Raises BundleError when it is missing, damaged or of a newer format."""
    file = path / DESCRIPTION
    try:
        if not path.exists():
            raise BundleError(f"{path} does not exist; give the folder that a training wrote")
        if path.is_file():
            cure = (
                "`segwright import-model` makes one of a model.tar.gz or .params file of SageMaker's original algorithm"
            )
            raise BundleError(f"{path} is a file, not the folder of a bundle: unpack it if it is one's archive; {cure}")
        if not file.is_file():
            there = f"It holds {describe_folder(path)}. Give the folder that a training wrote, unpacked"
            raise BundleError(f"{path} is not a Segwright bundle: it has no bundle.json. {there}")
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BundleError(f"{file} is damaged: {error}") from error
    written = document.get("format_version") if isinstance(document, dict) else None
    if not isinstance(written, int):
        raise BundleError(f"{file} was not written by Segwright: it has no format_version")
    if written > FORMAT_VERSION:
        ours = f"this Segwright {segwright.__version__} reads up to {FORMAT_VERSION}: install a newer one"
        raise BundleError(f"{file} has format version {written}, {ours}")
    try:
        return Description.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        parts = (".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, "))
        raise BundleError(f"{file} is damaged: {': '.join(filter(None, parts))}") from error


def load_network(path: Path, weights: str = BEST_WEIGHTS) -> tuple[Description, SegmentationNetwork]:
    """Load a bundle's network onto the CPU, in evaluation mode. Raises BundleError when it is damaged."""
    description = read_description(path)
    network = build_network(description.network)
    file = path / weights
    try:
        network.load_state_dict(load_file(file, device="cpu"))
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{file} cannot be read as safetensors: {error}") from error
    except RuntimeError as error:
        network_name = f"{description.network.algorithm} on {description.network.backbone}"
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{file} does not hold bundle.json's network ({network_name}): {reason}") from error
    return description, network.eval()


def _save_weights(path: Path, state: State) -> None:
    with atomic_file(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # safetensors lets only the owner read
        save_file(dict(state), temporary, metadata={"format": "pt"})
        temporary.chmod(mode)


def _readme(description: Description) -> str:
    network, best, data = description.network, description.metrics.get("best"), description.data
    score = "not validated" if best is None else f"validation mean IoU {best['mean_iou']:.4f}"
    if description.inference_scale != 1:
        score += f", predicting images at {description.inference_scale:g} times their size"
    names = ", ".join(f"{entry.index} {entry.name}" for entry in description.classes)
    origin = "Trained"
    if description.started_from and not data:
        origin = f"Imported from {description.started_from}"
    elif data and not any(data.values()) and best is None:
        origin = "Stopped before it was trained, and written"
    return (
        "# A semantic segmentation model\n\n"
        f"{origin} by Segwright {description.versions['segwright']}: {network.algorithm} on {network.backbone}, "
        f"{score}.\n\n"
        f"Classes: {names}.\n\n"
        "```sh\nsegwright predict THIS_DIRECTORY IMAGES --output MASKS --overlay\n```\n\n"
        "`model.safetensors` holds the best weights by validation, `last.safetensors` those at the end, "
        "`bundle.json` all that is needed to use them, `metrics.jsonl` a line an epoch.\n"
    )
