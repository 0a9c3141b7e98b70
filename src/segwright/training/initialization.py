"""What a training starts from: a new network, one with ImageNet's backbone, or a bundle whose classes may differ.

Knows bundles, networks and class names. Refuses to know data, epochs and checkpoints.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from segwright.bundle import load_network
from segwright.errors import HyperparameterError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import numbered_names
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network, timm_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Former:
    """What an earlier training, known by its bundle or by a checkpoint, says of its network."""

    network: NetworkSpec
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class ImageSpec:
    """The part of a network's description that speaks of images."""

    bands: int = 3
    bit_depth: int = 8
    upright: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    numbers: Literal["uint", "int", "float"] = "uint"

    @classmethod
    def of(cls, network: NetworkSpec) -> "ImageSpec":
        """What a network is shown."""
        return cls(network.bands, network.bit_depth, network.upright, network.mean, network.std, network.numbers)


def follow(settings: Hyperparameters, network: NetworkSpec) -> Hyperparameters:
    """Settings in which what they leave open about the network is as in `network`, an earlier training's."""
    given = settings.model_dump(include=settings.model_fields_set)
    usual = {
        "bands": network.bands,
        "apply_exif_orientation": network.upright,
        "algorithm": network.algorithm,
        "backbone": network.backbone,
        "output_stride": network.output_stride,
        "decoder_output_stride": network.decoder_output_stride,
        "aux_loss": network.auxiliary,
    }
    return settings.model_copy(update={name: value for name, value in usual.items() if name not in given})


def check_same_network(settings: Hyperparameters, network: NetworkSpec) -> None:
    """Raise HyperparameterError when a training that starts from a bundle's `network` asks for another one, or for
    backbone weights from a file as well.
    """
    if settings.algorithm != network.algorithm:
        raise _changed("algorithm", settings.algorithm, network.algorithm)
    if timm_name(settings.backbone) != timm_name(network.backbone):
        raise _changed("backbone", settings.backbone, network.backbone)
    for name, wanted, had in (
        ("bands", settings.bands, network.bands),
        ("apply_exif_orientation", settings.apply_exif_orientation, network.upright),
    ):
        if name in settings.model_fields_set and wanted != had:
            raise _changed(name, str(wanted), str(had))
    if settings.backbone_weights is not None:
        raise HyperparameterError(
            "backbone_weights and a model to start from both give the backbone's weights; leave one out"
        )


def start_network(
    settings: Hyperparameters,
    class_names: Sequence[str],
    images: ImageSpec,
    bundle: Path | None,
    former: Former | None,
    *,
    blank: bool,
) -> SegmentationNetwork:
    """Build the network of a training, in training mode, on the CPU.

    `images` says what the network is shown, `bundle` is what to start from, `former` what an earlier training says of
    the network. `blank` leaves all weights random, for a training whose weights will come from a checkpoint. Raises
    UserError for weights that cannot be had, BundleError for a bundle that is damaged.
    """
    spec = _spec(settings, len(class_names), ImageSpec.of(former.network) if former else images)
    if bundle is None or blank:
        pretrained = settings.backbone_weights or settings.use_pretrained_model
        return build_network(spec, pretrained=False if blank else pretrained)
    network = build_network(spec)
    description, trained = load_network(bundle)
    _adopt(network, class_names, trained, description.class_names)
    return network


def _spec(settings: Hyperparameters, num_classes: int, images: ImageSpec) -> NetworkSpec:
    return NetworkSpec(
        algorithm=settings.algorithm,
        backbone=settings.backbone,
        num_classes=num_classes,
        output_stride=settings.output_stride,
        decoder_output_stride=settings.decoder_output_stride,
        auxiliary=settings.aux_loss,
        **asdict(images),
    )


def _changed(name: str, wanted: str, had: str) -> HyperparameterError:
    return HyperparameterError(
        f"{name} is {wanted}, but the model to start from has {had}: its weights fit no other. Leave {name} out, or "
        "train anew without --from."
    )


@torch.no_grad()
def _adopt(
    network: SegmentationNetwork,
    names: Sequence[str],
    trained: SegmentationNetwork,
    trained_names: Sequence[str],
) -> None:
    """Give a network the weights of a trained one; of its last layers, the rows of the classes that both know."""
    rows = _same_classes(names, trained_names)
    wanted, had = network.state_dict(), trained.state_dict()
    classifiers = set(network.classifier_names())
    for name, weights in wanted.items():
        if name not in had:
            continue  # an auxiliary head that the trained network lacks
        if name in classifiers:
            for row, trained_row in rows.items():
                weights[row].copy_(had[name][trained_row])
        else:
            weights.copy_(had[name])
    _tell(names, trained_names, rows)


def _same_classes(names: Sequence[str], trained_names: Sequence[str]) -> dict[int, int]:
    """The index of each class in the trained network, by name, or by index where one of both has no names."""
    if _nameless(names) or _nameless(trained_names):
        return {index: index for index in range(min(len(names), len(trained_names)))}
    return {index: trained_names.index(name) for index, name in enumerate(names) if name in trained_names}


def _nameless(names: Sequence[str]) -> bool:
    return tuple(names) == numbered_names(len(names))


def _tell(names: Sequence[str], trained_names: Sequence[str], rows: dict[int, int]) -> None:
    by_index = _nameless(names) != _nameless(trained_names)
    way = "by index, because not all have names" if by_index else "by name"
    kept = [f"{names[row]} (was {trained_names[old]})" if by_index else names[row] for row, old in rows.items()]
    new = [name for index, name in enumerate(names) if index not in rows]
    dropped = [name for index, name in enumerate(trained_names) if index not in rows.values()]
    parts = [(f"kept {way}", kept), ("new", new), ("left behind", dropped)]
    logger.info(
        "starting from a trained model; its classes: "
        + "; ".join(f"{what}: {', '.join(some)}" for what, some in parts if some)
    )
