"""A writer of @thi.ng/rle-pack, the run lengths of Label Studio's brush, by its README."""

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

WIDTHS = (3, 4, 8, 16)


def encode_rle_pack(values: NDArray[np.uint8], literals: int = 1) -> list[int]:
    """The bytes of some values; single values are gathered in groups of up to `literals`."""
    bits = [f"{len(values):032b}", f"{7:05b}", *(f"{width - 1:04b}" for width in WIDTHS)]
    single: list[int] = []

    def length(count: int) -> str:
        kind = next(kind for kind, width in enumerate(WIDTHS) if count <= 1 << width)
        return f"{kind:02b}{count - 1:0{WIDTHS[kind]}b}"

    def flush() -> None:
        if single:
            bits.append("0" + length(len(single)) + "".join(f"{value:08b}" for value in single))
            single.clear()

    for value, group in groupby(values.tolist()):
        count = len(list(group))
        if count == 1:
            single.append(value)
            if len(single) == literals:
                flush()
            continue
        flush()
        while count:
            part = min(count, 1 << WIDTHS[-1])
            bits.append("1" + length(part) + f"{value:08b}")
            count -= part
    flush()
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def brush(mask: NDArray[np.bool_], colour: tuple[int, int, int, int] = (255, 0, 0, 255)) -> list[int]:
    """The run lengths of a brush region: four bands, of which the last is the opacity."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = colour
    return encode_rle_pack(pixels.ravel(), literals=500)
