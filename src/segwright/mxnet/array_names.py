"""The names that GluonCV's arrays bear in files, and the one kind among them that says which array is which.

::

    structural   layer1.0.conv1.weight                                 net.save_parameters
    prefixed     fcn0_resnetv1s_layers1_conv0_weight                   net.collect_params().save
    exported     arg:fcn0_resnetv1s_layers1_conv0_weight               net.export
    none         arrays in the order in which the network made them    mx.nd.save of a list

Knows how GluonCV numbers its blocks: counters go up as blocks are made, and the numbers at the front depend on what
else the process made before. Refuses to know values and shapes.

Source: GluonCV, gluoncv/model_zoo/{resnetv1b,fcn,pspnet,deeplabv3}.py, and section 4 of the description of what it
computes.
"""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from segwright.errors import BundleError
from segwright.networks.spec import Algorithm

THIRD_STAGE: Final[Mapping[int, str]] = {6: "resnet-50", 23: "resnet-101"}
"""The backbone, by the number of blocks in its third stage."""

_EXPORTED: Final = re.compile(r"^(arg|aux):")
_HEADS: Final[Mapping[Algorithm, tuple[str, ...]]] = {
    "fcn": (),
    "psp": tuple(f"psp.conv{number}.0" for number in (1, 2, 3, 4)),
    "deeplab": (*(f"aspp.concurent.{number}.0" for number in range(4)), "aspp.concurent.4.gap.1", "aspp.project.0"),
}
"""The convolutions of each head before its last block; a BatchNorm follows each. "concurent" is spelled so."""

_NORM: Final = ("gamma", "beta", "running_mean", "running_var")
_LAYER: Final = r"(?P<kind>conv|[a-z]*batchnorm[a-z]*)(?P<number>\d+)_(?P<array>weight|bias|gamma|beta|running_\w+)$"
_IN_BACKBONE: Final = re.compile(r"resnetv1[a-z]_(?:(?P<part>layers|down)(?P<stage>\d+)_)?" + _LAYER)
_IN_HEAD: Final = re.compile(
    r"_(?P<part>pyramidpooling|psphead|deeplabhead|fcnhead)(?P<copy>\d+)_(?:hybridsequential(?P<sequence>\d+)_)?"
    + _LAYER
)
_PARTS: Final = ("pyramidpooling", "psphead", "deeplabhead", "fcnhead")  # as they are made; the last one last of all
_CONVOLUTIONS: Final = 3  # of a bottleneck
_LAST: Final = 1 << 30  # a head's layers without a sequence of their own are made after those with one


def structural_names(names: Sequence[str]) -> list[str]:
    """The structural name of each array of a file, in the file's order, whichever kind of names it has.

    An empty name is that of an array without one. Prefixed names are put into the order in which GluonCV makes arrays,
    because dictionaries of older Pythons shuffled it; where they are of an unknown making, the file's order counts.
    Raises BundleError where names are there twice, and where names that are not structural fit none of GluonCV's
    networks.
    """
    plain = [_EXPORTED.sub("", name) for name in names]
    _check_repeated([name for name in plain if name])
    return plain if any("." in name for name in plain) else _named_by_order(plain)


@functools.cache
def networks_by_arrays() -> Mapping[int, Sequence[str]]:
    """The structural names of GluonCV's networks in the order in which their arrays are made, by how many there are:
    three heads on two backbones, with and without auxiliary head, and no two of them have as many.
    """
    kinds = itertools.product(_HEADS, THIRD_STAGE, (False, True))
    networks = (tuple(_network(*kind)) for kind in kinds)
    return {len(names): names for names in networks}


def _network(algorithm: Algorithm, third_stage: int, auxiliary: bool) -> Iterator[str]:
    for number in (0, 3):
        yield from _normed(f"conv1.{number}", f"conv1.{number + 1}")
    yield from _normed("conv1.6", "bn1")
    for stage, blocks in enumerate((3, 4, third_stage, 3), start=1):
        for block in range(blocks):
            yield from _bottleneck(f"layer{stage}.{block}", first=block == 0)
    for convolution in _HEADS[algorithm]:
        yield from _with_norm_after(f"head.{convolution}")
    yield from _block("head.block")
    if auxiliary:
        yield from _block("auxlayer.block")


def _bottleneck(prefix: str, first: bool) -> Iterator[str]:
    for number in range(1, _CONVOLUTIONS + 1):
        yield from _normed(f"{prefix}.conv{number}", f"{prefix}.bn{number}")
    if first:
        yield from _with_norm_after(f"{prefix}.downsample.0")


def _block(prefix: str) -> Iterator[str]:
    yield from _with_norm_after(f"{prefix}.0")
    yield from (f"{prefix}.4.weight", f"{prefix}.4.bias")


def _with_norm_after(convolution: str) -> Iterator[str]:
    prefix, _, number = convolution.rpartition(".")
    return _normed(convolution, f"{prefix}.{int(number) + 1}")


def _normed(convolution: str, norm: str) -> Iterator[str]:
    yield f"{convolution}.weight"
    yield from (f"{norm}.{array}" for array in _NORM)


def _check_repeated(names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise BundleError(f"there is more than one array called {repeated[0]!r}.")


def _named_by_order(names: Sequence[str]) -> list[str]:
    """The structural names of a whole network's arrays, whose own names tell no more than their order."""
    known = networks_by_arrays().get(len(names))
    if known is None:
        counts = ", ".join(map(str, sorted(networks_by_arrays())))
        raise BundleError(
            f"there are {len(names)} arrays without structural names, but GluonCV's FCN, PSPNet and DeepLabV3 on "
            f"resnet-50 and resnet-101 have {counts}."
        )
    structural = dict(zip(_made_in_order(names), known, strict=True))
    for place, name in structural.items():
        _check_other_kind(names[place], name)
    return [structural[place] for place in range(len(names))]


def _made_in_order(names: Sequence[str]) -> list[int]:
    """The places of arrays in a file, in the order in which GluonCV made them."""
    keys = [_order(name) for name in names]
    if any(key is None for key in keys):
        return list(range(len(names)))
    return sorted(range(len(names)), key=lambda place: keys[place] or ())


def _order(name: str) -> tuple[int, ...] | None:
    """When the array of a prefixed name was made, as numbers to sort by; None for a name of another making."""
    if found := _IN_BACKBONE.search(name):
        number = int(found["number"])
        # the shortcut of a stage is made between its first block and the second
        turn = {"layers": 0 if number < _CONVOLUTIONS else 2, "down": 1}.get(found["part"], 0)
        return (0, int(found["stage"] or 0), turn, *_order_in_layer(found))
    if found := _IN_HEAD.search(name):
        sequence = int(found["sequence"] or _LAST)
        return (1, _PARTS.index(found["part"]), int(found["copy"]), sequence, *_order_in_layer(found))
    return None


def _order_in_layer(found: re.Match[str]) -> tuple[int, ...]:
    arrays = ("weight", "bias", *_NORM)
    return int(found["number"]), int(found["kind"] != "conv"), arrays.index(found["array"])


def _check_other_kind(given: str, structural: str) -> None:
    array = structural.rpartition(".")[2]
    if given and not given.endswith(f"_{array}"):
        raise BundleError(
            f"the arrays cannot be told apart by their names: {given!r} stands where {structural!r} is expected."
        )
