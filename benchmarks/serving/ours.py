"""Segwright's network alone: a contestant of benchmarks/serving.py.

python benchmarks/serving/ours.py BUNDLE IMAGE PRECISION

From uint8 pixels in memory to a mask; the precisions are those of `segwright serve`.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import segwright
from turns import take_turns


def main(bundle: Path, image: Path, precision: str) -> None:
    """Load the model and take turns."""
    model = segwright.load(bundle, device="cpu", precision=precision)
    pixels = np.asarray(Image.open(image).convert("RGB"))
    take_turns(lambda: model.mask(pixels))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
