"""Houses along the street and the skyline behind it.

Knows walls, windows, roofs and shop fronts. A house is a box: one wall along the street, one that faces the
camera.
"""

from dataclasses import dataclass

import numpy as np

from segwright.sample_data.canvas import Colour, Label, Points, inset
from segwright.sample_data.light import mix, vary
from segwright.sample_data.stage import Stage

_PLASTER: tuple[Colour, ...] = (
    (226, 200, 152), (214, 150, 112), (196, 122, 100), (230, 214, 190), (176, 190, 196), (206, 176, 180),
    (168, 104, 88), (216, 184, 120), (160, 166, 172), (198, 190, 170), (184, 148, 122), (140, 132, 134),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = ((148, 82, 66), (96, 92, 100), (120, 96, 84), (170, 98, 72))
_AWNINGS: tuple[Colour, ...] = ((190, 62, 58), (52, 110, 96), (58, 88, 146), (222, 160, 60))
_GLASS: Colour = (74, 92, 112)
_LAMPLIGHT: Colour = (255, 214, 130)
_FARTHEST = 60.0
_FRAME = np.array([-0.012, -0.012, 0.012, 0.012])  # of a window, as fractions of the wall
_SMALLEST_WINDOW = 2.5  # pixels; smaller ones only flicker


@dataclass(frozen=True)
class House:
    """A box beside the street, in metres, and its look. `side` is -1 left of the road, 1 right of it."""

    side: int
    front: float
    near: float
    far: float
    storeys: int
    wall: Colour
    roof: Colour | None
    awning: Colour | None

    @property
    def height(self) -> float:
        """Height of the walls in metres."""
        return 3.1 * self.storeys + 0.6


def plan_houses(rng: np.random.Generator, side: int, front: float, tall: bool) -> list[House]:
    """The houses on one side, the nearest first, their walls `front` metres from the middle of the road."""
    houses = []
    near = rng.uniform(1.0, 6.0)
    while near < _FARTHEST:
        length = rng.uniform(7.0, 13.0)
        storeys = int(rng.integers(2, 6)) if tall else int(rng.integers(1, 3))
        houses.append(
            House(
                side=side,
                front=front + (0.0 if tall else rng.uniform(0.0, 2.0)),
                near=near,
                far=near + length,
                storeys=storeys,
                wall=vary(rng, _PLASTER[rng.integers(len(_PLASTER))], 0.1),
                roof=vary(rng, _ROOFS[rng.integers(len(_ROOFS))], 0.12) if not tall or rng.random() < 0.5 else None,
                awning=_AWNINGS[rng.integers(len(_AWNINGS))] if tall and rng.random() < 0.5 else None,
            )
        )
        near += length + (rng.choice((0.0, 0.0, 2.5)) if tall else rng.uniform(2.5, 7.0))
    return houses


def draw_house(stage: Stage, house: House) -> None:
    """The wall that faces the camera, the roof, and the wall along the street."""
    near, far, front, high = house.near, house.far, house.side * house.front, house.height
    back = front + house.side * 9.0
    end = np.array([[back, 0, near], [front, 0, near], [front, high, near], [back, high, near]])
    wall = np.array([[front, 0, near], [front, 0, far], [front, high, far], [front, high, near]])
    _draw_wall(stage, house, end, near, 0.0)
    if house.roof:
        _draw_roof(stage, house, house.roof)
    _draw_wall(stage, house, wall, (near + far) / 2, -house.side)
    if house.awning:
        _draw_shop(stage, house, wall, house.awning)


def _draw_roof(stage: Stage, house: House, colour: Colour) -> None:
    """A pitched roof with its ridge along the street, so the end wall has a gable."""
    near, far, high = house.near, house.far, house.height
    front, back = house.side * (house.front - 0.4), house.side * (house.front + 9.4)
    ridge, top = (front + back) / 2, high + 2.6
    gable = np.array([[front, high, near], [back, high, near], [ridge, top, near]])
    slope = np.array([[front, high, near - 0.4], [front, high, far], [ridge, top, far], [ridge, top, near - 0.4]])
    eaves = np.array([[front, high, near - 0.4], [ridge, top, near - 0.4], [back, high, near - 0.4]])
    board = np.concatenate([eaves, eaves[::-1] - (0.0, 0.35, 0.0)])
    stage.fill([gable], house.wall, Label.BUILDING, near)
    stage.fill([slope], colour, Label.BUILDING, near, -0.5 * house.side)
    stage.fill([board], mix(colour, (40, 30, 30), 0.3), Label.BUILDING, near)


def _draw_wall(stage: Stage, house: House, corners: Points, distance: float, facing: float) -> None:
    """A wall with a plinth, cornices and rows of windows, some of them lit."""
    stage.fill([corners], house.wall, Label.BUILDING, distance, facing)
    trim, plinth = mix(house.wall, (255, 250, 240), 0.45), mix(house.wall, (70, 62, 60), 0.45)
    floors = np.arange(1, house.storeys) / house.storeys
    cornices = [(0, 0.97, 1, 1), *((0, floor, 1, floor + 0.02) for floor in floors)]
    stage.paint(inset(corners, cornices), trim, distance, facing)
    stage.paint(inset(corners, [(0, 0, 1, 0.05)]), plinth, distance, facing)
    if stage.camera.pixels_per_metre(distance) < _SMALLEST_WINDOW:
        return
    boxes = _windows(house.storeys, round(float(np.abs(corners[1] - corners[0]).sum()) / 2.6))
    stage.paint(inset(corners, boxes + _FRAME), trim, distance, facing)
    lit = stage.rng.random(len(boxes)) < stage.light.lamps
    stage.paint(inset(corners, boxes[~lit]), mix(_GLASS, stage.light.zenith, 0.25), distance, facing)
    lamplight = mix(_LAMPLIGHT, stage.light.horizon, min(0.01 * distance, 0.6))
    stage.canvas.paint(stage.camera.project(inset(corners, boxes[lit])), lamplight)


def _windows(storeys: int, columns: int) -> Points:
    """Windows [n, 4] on a wall: left, bottom, right, top in fractions of it."""
    left, bottom = np.meshgrid((np.arange(columns) + 0.26) / columns, (np.arange(storeys) + 0.32) / storeys)
    boxes = (left, bottom, left + 0.48 / columns, bottom + 0.46 / storeys)
    return np.stack([box.ravel() for box in boxes], axis=1)


def _draw_shop(stage: Stage, house: House, wall: Points, colour: Colour) -> None:
    """Shop windows and a door at street level below a striped awning."""
    low, high, facing = 0.4 / house.height, 2.7 / house.height, -house.side
    glow = mix(_GLASS, _LAMPLIGHT, 0.1 + 1.2 * stage.light.lamps)
    panes = [(0.05 + 0.225 * i, low if i != 2 else 0.0, 0.25 + 0.225 * i, 0.97 * high) for i in range(4)]
    stage.paint(inset(wall, panes), glow, house.near, facing)
    left = 0.04 + 0.92 * np.arange(8) / 8
    boxes = np.column_stack([left, np.full(8, high), left + 0.92 / 8, np.full(8, high + 0.6 / house.height)])
    stripes = inset(wall, boxes)
    stripes[:, :2, 0] -= house.side * 1.1  # the lower edge stands out over the pavement
    stage.fill(stripes[::2], colour, Label.BUILDING, house.near, 0.5 * facing)
    stage.fill(stripes[1::2], (240, 232, 218), Label.BUILDING, house.near, 0.5 * facing)


def draw_skyline(stage: Stage) -> None:
    """Blocks far behind the street, pale with haze."""
    rng, camera, distance = stage.rng, stage.camera, stage.rng.uniform(70.0, 110.0)
    pixel = distance / camera.focal  # in metres
    left, right = -1.2 * camera.centre * pixel, 1.2 * (camera.width - camera.centre) * pixel
    while left < right:
        width = max(rng.uniform(0.04, 0.1) * camera.width, 10.0) * pixel
        if rng.random() < 0.6:
            high = rng.uniform(8.0, 24.0)
            block = np.array([[0, 0, 0], [width, 0, 0], [width, high, 0], [0, high, 0]])
            tone = mix(_PLASTER[rng.integers(len(_PLASTER))], (120, 124, 140), 0.5)
            place = (left - camera.bend * distance**2, 0, distance)
            stage.fill([block + place], tone, Label.BUILDING, 0.8 * distance)
        left += width
