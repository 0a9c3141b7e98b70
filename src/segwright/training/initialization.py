"""What a training starts from: a new network, one with a pretrained backbone, or a bundle whose classes may differ."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from segwright.algorithms import check_decoder_stride
from segwright.bundle import Description, load_network
from segwright.checks.pixel_statistics import BandStatistics
from segwright.errors import HyperparameterError
from segwright.formats.pixels import PixelFormat
from segwright.hyperparameters import Hyperparameters
from segwright.labels import numbered_names
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network, timm_name
from segwright.wording import counted

logger = logging.getLogger(__name__)


def inherit_settings(settings: Hyperparameters, network: NetworkSpec) -> Hyperparameters:
    """Settings in which those of the network that were not given are as in `network`, the parent's."""
    inherited = {
        "bands": network.bands,
        "apply_exif_orientation": network.upright,
        "algorithm": network.algorithm,
        "backbone": network.backbone,
        "output_stride": network.output_stride,
        "decoder_output_stride": network.decoder_output_stride,
        "aux_loss": network.auxiliary,
    }
    given = settings.model_fields_set
    return settings.model_copy(update={name: value for name, value in inherited.items() if name not in given})


def resumed_settings(settings: Hyperparameters, then: Description) -> Hyperparameters:
    """Settings of a training in the recipe `best` that is resumed: what is not given is as it was chosen `then`;
    epochs take the place of minutes, and the reverse. Raises HyperparameterError for what does not go together.
    """
    had, given = Hyperparameters.model_validate(then.hyperparameters), settings.model_fields_set
    open_again = {"num_classes", "num_training_samples"}
    if given & {"epochs", "minutes"}:
        open_again |= {"epochs", "minutes"}
    values = {name: value for name, value in had if name not in open_again}
    resumed = Hyperparameters.model_validate(values | {name: getattr(settings, name) for name in given})
    resumed.__pydantic_fields_set__ = set(given)  # What was chosen is still not given.
    return resumed


def check_same_network(settings: Hyperparameters, network: NetworkSpec) -> None:
    """Raise HyperparameterError when settings, inherited from a bundle with `network`, ask for another one, or for
    backbone weights from a file as well.
    """
    for name, value, had in (
        ("algorithm", settings.algorithm, network.algorithm),
        ("backbone", settings.backbone, network.backbone),
        ("bands", settings.bands, network.bands),
        ("apply_exif_orientation", settings.apply_exif_orientation, network.upright),
    ):
        same = timm_name(str(value)) == timm_name(str(had)) if name == "backbone" else value == had
        if not same:
            cure = f"Leave {name} out, or train without start_from."
            sentence = f"{name} is {value}, but the model to start from has {had}: its weights fit no other. {cure}"
            raise HyperparameterError(sentence, name=name, value=value)
    check_decoder_stride(settings.algorithm, settings.decoder_output_stride)
    if settings.backbone_weights is not None:
        raise HyperparameterError("backbone_weights and start_from both give the backbone's weights: leave one out.")


def start_network(
    settings: Hyperparameters,
    class_names: Sequence[str],
    pixel_format: PixelFormat,
    like: NetworkSpec | BandStatistics | None,
    bundle: Path | None,
    *,
    blank: bool,
) -> SegmentationNetwork:
    """Build the network that settings ask for, in training mode, on the CPU, with the weights of a bundle if one is
    given; mean and std are those of `like`, random weights those of `seed`.

    `blank` leaves all weights random, for a training whose weights will come from a checkpoint. Raises UserError for
    weights that cannot be had, BundleError for a bundle that is damaged.
    """
    spec = NetworkSpec(
        algorithm=settings.algorithm,
        backbone=settings.backbone,
        num_classes=len(class_names),
        output_stride=settings.output_stride,
        decoder_output_stride=settings.decoder_output_stride,
        auxiliary=settings.aux_loss,
        bands=pixel_format.bands,
        bit_depth=pixel_format.bit_depth,
        upright=pixel_format.exif_transposed,
        numbers=pixel_format.numbers,
        mean=like.mean if like else None,
        std=like.std if like else None,
    )
    torch.manual_seed(settings.seed)
    if bundle is None or blank:
        pretrained = False if blank else settings.backbone_weights or settings.use_pretrained_model
        return build_network(spec, pretrained=pretrained)
    network = build_network(spec)
    description, trained = load_network(bundle)
    _copy_weights(network, trained, _match_classes(class_names, description.class_names))
    return network


@torch.no_grad()
def _copy_weights(network: SegmentationNetwork, trained: SegmentationNetwork, rows: dict[int, int]) -> None:
    """Copy the weights of a trained network; of its last layers only the rows of the classes that both know. Layers
    that it lacks, or has in another size, as where the decoder's stride is another one, start anew.
    """
    trained_state, classifiers = trained.state_dict(), set(network.classifier_names())
    anew = 0
    for name, weights in network.state_dict().items():
        had = trained_state.get(name)
        if had is not None and name in classifiers and had.shape[1:] == weights.shape[1:]:
            for row, trained_row in rows.items():
                weights[row].copy_(had[trained_row])
        elif had is not None and name not in classifiers and had.shape == weights.shape:
            weights.copy_(had)
        elif weights.ndim > 1:
            anew += 1
    if anew:
        logger.info(
            f"{counted(anew, 'layer')} of the network are not in that model, or of another size, and start anew"
        )


def _match_classes(names: Sequence[str], trained_names: Sequence[str]) -> dict[int, int]:
    """The index of each class in the trained network, by name, or by index where one of both has no names; logged."""
    ours_nameless, theirs_nameless = (tuple(each) == numbered_names(len(each)) for each in (names, trained_names))
    rows = {index: trained_names.index(name) for index, name in enumerate(names) if name in trained_names}
    if ours_nameless or theirs_nameless:
        rows = {index: index for index in range(min(len(names), len(trained_names)))}
    by_index = ours_nameless != theirs_nameless
    kept = [f"{names[row]} (was {trained_names[old]})" if by_index else names[row] for row, old in rows.items()]
    new = [name for index, name in enumerate(names) if index not in rows]
    dropped = [name for index, name in enumerate(trained_names) if index not in rows.values()]
    way = "kept by index, because not all have names" if by_index else "kept by name"
    parts = [f"{what}: {', '.join(some)}" for what, some in ((way, kept), ("new", new), ("dropped", dropped)) if some]
    logger.info(f"starting from a trained model; its classes: {'; '.join(parts)}")
    return rows
