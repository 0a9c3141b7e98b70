"""Nodes of an ONNX file that OpenVINO 2026.4 gets wrong, replaced by others that compute the same.

Where either of the two makes a map empty, OpenVINO computes nothing from there on, and returns outputs as the image
before left them, without an error. Both happen with images that are smaller than a network's stride.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper


def make_portable(model: onnx.ModelProto) -> None:
    """Replace nodes of a model in place."""
    nodes = list(model.graph.node)
    constants = {initializer.name for initializer in model.graph.initializer}
    del model.graph.node[:]
    for node in nodes:
        if node.op_type in ("AveragePool", "MaxPool"):
            _round_down(node)
        if node.op_type == "Pad" and node.input[1] not in constants and _attributes(node).get("mode") == b"constant":
            model.graph.node.extend(_pad_then_cut(node, model.graph))
        else:
            model.graph.node.append(node)


def _round_down(node: NodeProto) -> None:
    """Let a pooling that rounds its size up pad and round down: the same, where windows do not overlap.

    OpenVINO makes 0 pixels of 1 where it rounds up.
    """
    values = _attributes(node)
    strides = values.get("strides")
    if not values.get("ceil_mode") or any(values.get("pads", ())) or values["kernel_shape"] != strides:
        return
    changed = {"ceil_mode": 0, "pads": [0] * len(strides) + [stride - 1 for stride in strides]}
    if node.op_type == "AveragePool":
        changed["count_include_pad"] = 0
    kept = [attribute for attribute in node.attribute if attribute.name not in changed]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in changed.items())])


def _pad_then_cut(node: NodeProto, graph: onnx.GraphProto) -> Iterator[NodeProto]:
    """Let a padding of [B, C, H, W] by computed amounts, of which those at the ends may be negative, first add and
    then cut.

    OpenVINO makes nothing of a map of which half or more is cut by a negative padding.
    """
    (output,) = node.output
    constants = {"zero": [0], "four": [4], "eight": [8], "start": [0, 0, 0, 0]}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), f"{output}_{name}"))

    def step(operator: str, inputs: str, result: str) -> NodeProto:
        names = [name if name in node.input else f"{output}_{name}" for name in inputs.split()]
        made = output if result == "output" else f"{output}_{result}"
        return helper.make_node(operator, names, [made], name=made)

    maps, amounts = node.input[:2]
    yield step("Max", f"{amounts} zero", "added")
    yield step("Pad", f"{maps} added", "padded")  # adds zeros, as the networks do
    yield step("Min", f"{amounts} zero", "cut")
    yield step("Slice", "cut four eight zero", "ends")
    yield step("Shape", "padded", "size")
    yield step("Add", "size ends", "stop")
    yield step("Slice", "padded start stop", "output")


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
