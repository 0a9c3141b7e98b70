"""Whether a JPEG decoded at reduced scale gives a blurrier crop than one decoded whole.

    python benchmarks/reduced_decoding.py OUTPUT.png

On drawn street scenes of two megapixels, for several scales, the same crop is made from both, and a third one by PIL's
bilinear resize of the whole picture, which is GluonCV's. Printed are the mean gradients of reduced and PIL's crop over
that of the whole one (less is blurrier) and the mean difference of reduced and whole in grey levels; the picture shows
whole, reduced and PIL's crop below one another.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segwright.data.crops import Crop
from segwright.data.transforms import apply_crop
from segwright.formats.images import EncodedImage, encode_jpeg, encode_png
from segwright.formats.pixels import RGB
from segwright.sample_data import draw_scene

WIDTH, HEIGHT = 1920, 1080
CROP = 240
SCENES = 4


def crops(data: bytes, long_side: int) -> tuple[list[NDArray[np.float64]], int]:
    """The central crop from the whole picture, from a reduced one and by PIL, and the reduction."""
    height = round(HEIGHT * long_side / WIDTH)
    place = (max(height - CROP, 0) // 2, max(long_side - CROP, 0) // 2)
    crop = Crop(HEIGHT, WIDTH, height, long_side, *place, CROP)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    whole, _ = apply_crop(crop, EncodedImage(data, "whole").decode(), mask)
    pixels, reduction = EncodedImage(data, "reduced").decode_reduced(RGB, crop.reduction)
    reduced, _ = apply_crop(crop, pixels, mask, reduction=reduction)
    resized = Image.fromarray(EncodedImage(data, "whole").decode()).resize(
        (long_side, height), Image.Resampling.BILINEAR
    )
    by_pil = np.zeros_like(whole)
    part = np.asarray(resized)[place[0] : place[0] + CROP, place[1] : place[1] + CROP]
    by_pil[: part.shape[0], : part.shape[1]] = part
    return [each.astype(np.float64) for each in (whole, reduced, by_pil)], reduction


def gradient(image: NDArray[np.float64]) -> float:
    """The mean difference of neighbouring pixels."""
    return float(np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean())


def main() -> None:
    """Compare at several scales, print a line for each, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    scenes = [encode_jpeg(draw_scene(np.random.default_rng(seed), WIDTH, HEIGHT)[0]) for seed in range(SCENES)]
    columns = []
    for long_side in (960, 800, 640, 480, 320, 260):
        made = [crops(data, long_side) for data in scenes]
        sharpness = [np.mean([gradient(each[kind]) / gradient(each[0]) for each, _ in made]) for kind in (1, 2)]
        difference = np.mean([np.abs(each[1] - each[0]).mean() for each, _ in made])
        print(
            f"1/{WIDTH / long_side:.2f} decoded at 1/{made[0][1]}: gradient {sharpness[0]:.3f} of the whole one's "
            f"(PIL {sharpness[1]:.3f}), difference {difference:.2f}"
        )
        columns.append(np.concatenate(made[0][0]))
    output.write_bytes(encode_png(np.concatenate(columns, axis=1).astype(np.uint8)))


if __name__ == "__main__":
    main()
