"""The networks by name: three of our own, and those whose decoder is one of segmentation_models_pytorch."""

from collections.abc import Mapping
from typing import Final, Literal

from segwright.errors import HyperparameterError

Algorithm = Literal[
    "fcn",
    "psp",
    "deeplab",
    "smp:unet",
    "smp:unetplusplus",
    "smp:manet",
    "smp:linknet",
    "smp:fpn",
    "smp:upernet",
    "smp:segformer",
    "smp:deeplabv3plus",
]

_WITHOUT: Final[Mapping[str, str]] = {
    "smp:deeplabv3": "deeplab is that network",
    "smp:pspnet": "psp is that network, with all of PSPNet's pyramid",
    "smp:pan": "it pools the coarsest feature map eight times more, which images below 256 pixels do not allow",
    "smp:dpt": "it needs the tokens of a vision transformer, where all others take the feature maps of any backbone",
}
"""Decoders of segmentation_models_pytorch that are not offered, and why."""


def is_smp(algorithm: str) -> bool:
    """Whether the decoder is one of segmentation_models_pytorch."""
    return algorithm.startswith("smp:")


def usual_output_stride(algorithm: str) -> int:
    """The output stride for which a network is made."""
    return {"smp:deeplabv3plus": 16}.get(algorithm, 32 if is_smp(algorithm) else 8)


def check_offered(algorithm: str) -> None:
    """Raise HyperparameterError, with the reason, for decoders of segmentation_models_pytorch that are not offered."""
    if algorithm in _WITHOUT:
        sentence = f"algorithm {algorithm} is not offered: {_WITHOUT[algorithm]}."
        raise HyperparameterError(sentence, name="algorithm", value=algorithm)


def check_decoder_stride(algorithm: str, decoder_output_stride: object) -> None:
    """Raise HyperparameterError where a decoder of segmentation_models_pytorch should be refined by ours as well."""
    if is_smp(algorithm) and decoder_output_stride is not None:
        raise HyperparameterError(
            f"decoder_output_stride is {decoder_output_stride}, but {algorithm} is a decoder itself and has its own "
            "strides. Leave decoder_output_stride out, or take algorithm fcn, psp or deeplab.",
            name="decoder_output_stride",
            value=decoder_output_stride,
        )
