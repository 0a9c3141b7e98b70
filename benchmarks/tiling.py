"""Windows of large images against the whole image at once: mean IoU, and where the two disagree.

    python benchmarks/tiling.py IMAGES MASKS BUNDLE... [--budgets 2097152 262144] [--count 6] [--scale 0.5]

Each image is predicted in one pass and in windows of at most so many pixels, by the same network in float32.
A disagreement is a pixel with another class. Those in stretches that two windows share are compared with those in
stretches of the same width on both sides: farther away, as in the sky, the picture itself is easier.
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

WHOLE = 1 << 40  # a budget that holds any image


def predict(model: Model, image: Pixels, budget: int) -> NDArray[np.uint8]:
    """The classes of an image, uint8 [H, W]."""
    mask = np.empty(image.shape[:2], np.uint8)
    assemble(logit_blocks(model.runtime, image, scale=model.scale, pixel_budget=budget), mask)
    return mask


def stretches(height: int, width: int, scale: float, budget: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels lie in more than one window, and which beside those: both [H, W]."""
    shared, near = (np.zeros((height, width), np.bool_) for _ in range(2))
    rows, columns = spans(height, width, scale, budget)
    for lines, transposed in ((rows, False), (columns, True)):
        for span in lines:
            start, stop, breadth = span.start, span.start + span.before, span.before
            (shared.T if transposed else shared)[start:stop] = True
            (near.T if transposed else near)[max(start - breadth, 0) : stop + breadth] |= breadth > 0
    return shared, near & ~shared


def compare(bundle: Path, arguments: argparse.Namespace) -> None:
    """Print a row of the table for each budget of a model."""
    model = load(bundle, "cpu", scale=arguments.scale)
    label_map = model.description.label_map("validation")
    num_classes, budgets = len(model.class_names), arguments.budgets
    whole, *tiled = (ConfusionMatrix(num_classes) for _ in range(1 + len(budgets)))
    different, pixels = (np.zeros((len(budgets), 2), np.int64) for _ in range(2))  # where windows overlap, beside
    for pair in find_pairs(arguments.images, arguments.masks).pairs[: arguments.count]:
        image, labels = read_pair(pair, label_map, model.pixel_format)
        at_once = predict(model, image, WHOLE)
        whole.update(labels, at_once)
        for index, budget in enumerate(budgets):
            in_windows = predict(model, image, budget)
            tiled[index].update(labels, in_windows)
            parts = stretches(image.shape[0], image.shape[1], model.scale, budget)
            for column, part in enumerate(parts):
                different[index, column] += np.count_nonzero((at_once != in_windows) & part)
                pixels[index, column] += np.count_nonzero(part)
    rates = 100 * different / np.maximum(pixels, 1)
    expected = whole.scores(model.class_names).mean_iou
    for budget, matrix, (shared, beside) in zip(budgets, tiled, rates, strict=True):
        found = matrix.scores(model.class_names).mean_iou
        print(
            f"| {bundle.name} | {budget:,} | {expected:.4f} | {found:.4f} | {100 * (found - expected):+.2f} "
            f"| {shared:.2f} % | {beside:.2f} % |",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare models, a row for each and each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--budgets", type=int, nargs="+", default=[PIXEL_BUDGET])
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--scale", type=float)
    given = parser.parse_args(arguments)
    print("| model | budget | mean IoU whole | in windows | points | disagree in overlaps | beside them |")
    print("|---|---|---|---|---|---|---|")
    for bundle in given.bundles:
        compare(bundle, given)


if __name__ == "__main__":
    main()
