"""Windows of large images against the whole image at once: mean IoU, and where the two disagree.

    python benchmarks/tiling.py IMAGES MASKS BUNDLE... [--budget 2097152] [--count 6] [--label-map FILE]

Each image is predicted in one pass and in windows of at most `--budget` pixels, by the same network in float32.
A disagreement is a pixel with another class; those in stretches that two windows share are counted apart.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segwright.data.folders import find_pairs
from segwright.data.pairs import read_pair
from segwright.evaluation.metrics import ConfusionMatrix
from segwright.formats.pixels import Pixels
from segwright.inference import Model, assemble, load, logit_blocks
from segwright.inference.logits import PIXEL_BUDGET, spans
from segwright.labels import LabelMap


def predict(model: Model, image: Pixels, budget: int) -> NDArray[np.uint8]:
    """The classes of an image, uint8 [H, W]."""
    mask = np.empty(image.shape[:2], np.uint8)
    assemble(logit_blocks(model.network, image, scale=model.scale, pixel_budget=budget), mask)
    return mask


def shared_pixels(height: int, width: int, scale: float, budget: int) -> NDArray[np.bool_]:
    """Which pixels lie in more than one window, [H, W]."""
    shared = np.zeros((height, width), np.bool_)
    rows, columns = spans(height, width, scale, budget)
    for axis, lines in ((shared, rows), (shared.T, columns)):
        for span in lines:
            axis[span.start : span.start + span.before] = True
    return shared


def compare(bundle: Path, arguments: argparse.Namespace) -> None:
    """Print a row of the table for a model."""
    model, budget = load(bundle, "cpu"), arguments.budget
    label_map = model.description.label_map("validation")
    if arguments.label_map:
        label_map = LabelMap.read(arguments.label_map)
    whole, tiled = (ConfusionMatrix(len(model.class_names)) for _ in range(2))
    different, pixels = np.zeros(2, np.int64), np.zeros(2, np.int64)  # elsewhere, in shared stretches
    for pair in find_pairs(arguments.images, arguments.masks).pairs[: arguments.count]:
        image, labels = read_pair(pair, label_map, model.pixel_format)
        at_once, in_windows = predict(model, image, image.size), predict(model, image, budget)
        whole.update(labels, at_once)
        tiled.update(labels, in_windows)
        shared = shared_pixels(image.shape[0], image.shape[1], model.scale, budget)
        for index, part in enumerate((~shared, shared)):
            different[index] += np.count_nonzero((at_once != in_windows) & part)
            pixels[index] += np.count_nonzero(part)
    scores = [matrix.scores(model.class_names).mean_iou for matrix in (whole, tiled)]
    rates = 100 * different / np.maximum(pixels, 1)
    print(
        f"| {bundle.name} | {scores[0]:.4f} | {scores[1]:.4f} | {100 * (scores[1] - scores[0]):+.2f} "
        f"| {rates[0]:.3f} % | {rates[1]:.3f} % |",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare models, a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--budget", type=int, default=PIXEL_BUDGET)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--label-map", type=Path)
    given = parser.parse_args(arguments)
    print("| model | mean IoU whole | in windows | points | disagree elsewhere | disagree where windows overlap |")
    print("|---|---|---|---|---|---|")
    for bundle in given.bundles:
        compare(bundle, given)


if __name__ == "__main__":
    main()
