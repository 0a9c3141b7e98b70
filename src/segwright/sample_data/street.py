"""The ground, the road and its markings: everything flat.

Knows the cross-section of the street; what stands on it is drawn by others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from segwright.labels import IGNORE
from segwright.sample_data.canvas import NEAREST, Camera, Colour, Label, Points
from segwright.sample_data.light import mix, vary
from segwright.sample_data.stage import Stage

FARTHEST = 160.0
"""Distance in metres at which the ground ends."""

_ASPHALT: tuple[Colour, ...] = ((92, 94, 100), (112, 110, 110), (78, 80, 88), (124, 118, 112))
_PAVING: tuple[Colour, ...] = ((172, 164, 154), (152, 152, 156), (186, 168, 150))
_GRASS: tuple[Colour, ...] = ((112, 152, 70), (132, 158, 84), (96, 136, 66), (150, 156, 84))
_WHITE: Colour = (236, 234, 226)
_YELLOW: Colour = (240, 196, 74)
_KERB_WIDTH = 0.16
_MARKING_WIDTH = 0.42  # metres: two or three times that of real ones, for the eye and for small networks
_NARROWEST_MARKING = 5.0  # pixels; farther away, markings are not drawn
_STEPS = np.linspace(0, 1, 6)
_CUTS = (NEAREST, 3.0, 6.0, 10.0, 16.0, 26.0, 44.0, 80.0, FARTHEST)  # where the haze on the ground changes


Side = Literal["terrace", "cottages", "park"]
"""Houses at the pavement, houses behind gardens, or no houses."""


@dataclass(frozen=True)
class Street:
    """Cross-section in metres: the road from -half to half, then pavements, then what `sides` says of left
    and right. `crossing` is the distance of a zebra crossing.
    """

    half: float
    pavement: float
    sides: tuple[Side, Side]
    crossing: float | None

    @property
    def edge(self) -> float:
        """Distance of the outer edges of the pavements from the middle of the road."""
        return self.half + self.pavement


def ribbon(left: float, right: float, near: float, far: float) -> Points:
    """Outline [n, 3] of a strip of ground, with corners enough to follow the bend of the road."""
    z = near * (far / near) ** _STEPS
    strip = np.zeros((2 * len(z), 3))
    strip[:, 0] = np.repeat((left, right), len(z))
    strip[:, 2] = np.concatenate([z, z[::-1]])
    return strip


def draw_ground(stage: Stage, street: Street) -> None:
    """Lawns or more paving, pavements, kerbs (to be ignored) and the road, in slices from far to near."""
    asphalt, paving, grass = (
        vary(stage.rng, colours[stage.rng.integers(len(colours))], 0.12) for colours in (_ASPHALT, _PAVING, _GRASS)
    )
    kerb = street.half + _KERB_WIDTH
    layers: list[tuple[float, Colour, int]] = [
        (side * 4 * FARTHEST, *((paving, Label.ROAD) if kind == "terrace" else (grass, Label.VEGETATION)))
        for side, kind in zip((-1, 1), street.sides, strict=True)
    ]
    layers += [(side * street.edge, paving, Label.ROAD) for side in (-1, 1)]
    layers += [(side * kerb, mix(paving, (255, 255, 255), 0.35), IGNORE) for side in (-1, 1)]
    layers += [(side * street.half, asphalt, Label.ROAD) for side in (-1, 1)]
    for reach, colour, label in layers:
        for near, far in reversed(list(pairwise(_CUTS))):
            stage.fill([ribbon(0.0, reach, near, far)], colour, label, (near * far) ** 0.5)
    _draw_wear(stage, street, asphalt, paving)


def _draw_wear(stage: Stage, street: Street, asphalt: Colour, paving: Colour) -> None:
    """Mended patches on the road and joints between paving stones."""
    rng = stage.rng
    for _ in range(rng.integers(1, 5)):
        left, near = rng.uniform(-street.half, street.half - 0.8), rng.uniform(2.5, 14)
        patch = ribbon(left, left + rng.uniform(0.6, 1.6), near, near * rng.uniform(1.1, 1.4))
        stage.paint([patch], vary(rng, asphalt, 0.14), near)
    inner, outer = street.half + _KERB_WIDTH, street.edge
    for side in (-1, 1):
        joints = [ribbon(side * inner, side * outer, z, z * 1.012) for z in np.geomspace(2.0, 16.0, 14)]
        stage.paint(joints, mix(paving, (60, 56, 52), 0.3), 6.0)


def draw_markings(stage: Stage, street: Street) -> None:
    """Lines along the road, interrupted by the zebra crossing where there is one."""
    rng = stage.rng
    white = vary(rng, _WHITE, 0.06)
    middle = vary(rng, _YELLOW, 0.08) if rng.random() < 0.3 else white
    reach = stage.camera.distance_of(_MARKING_WIDTH, _NARROWEST_MARKING)
    stretches = [(1.0, reach)]
    if street.crossing:
        stage.fill(list(_zebra(stage.camera, street, street.crossing)), white, Label.LANE_MARKING, 6.0)
        stretches = [(1.0, street.crossing - 0.6), (street.crossing + 4.0, reach)]
    edge_lines = rng.random() < 0.8
    dash, gap = (3.0, rng.uniform(2.0, 3.5)) if rng.random() < 0.75 else (500.0, 1.0)
    start = rng.uniform(-3.0, 1.0)
    for near, far in stretches:
        if edge_lines and far > near * 1.1:
            side = street.half - 0.5
            stage.fill([_line(-side, near, far), _line(side, near, far)], white, Label.LANE_MARKING, near)
        for first in np.arange(start, far, dash + gap):
            bounds = max(first, near), min(first + dash, far)
            if bounds[1] > bounds[0] * 1.12:
                stage.fill([_line(0.0, *bounds)], middle, Label.LANE_MARKING, near)


def _line(x: float, near: float, far: float) -> Points:
    return ribbon(x - _MARKING_WIDTH / 2, x + _MARKING_WIDTH / 2, near, far)


def _zebra(camera: Camera, street: Street, start: float) -> Iterator[Points]:
    """Stripes along the road, as wide as they are apart, and never narrower than a line may be."""
    width = max(0.55, 1.4 * _NARROWEST_MARKING * start / camera.focal)
    count = int((2 * street.half - 0.3) / (2 * width))
    for index in range(count):
        x = (2 * index - count + 1) * width
        yield ribbon(x - width / 2, x + width / 2, start, start + 3.2)
