"""People on foot: flat figures with a gait, clothes, hair, and now and then a hat or a bag.

Knows bodies; refuses to know where people walk.
"""

from dataclasses import dataclass

import numpy as np

from segwright.sample_data.canvas import Colour, Label, Points
from segwright.sample_data.light import mix, vary
from segwright.sample_data.stage import Stage

_SKIN: tuple[Colour, ...] = ((240, 200, 170), (222, 172, 138), (180, 126, 92), (126, 84, 60), (92, 60, 46))
_HAIR: tuple[Colour, ...] = (
    (40, 32, 30),
    (84, 56, 36),
    (150, 104, 56),
    (206, 172, 110),
    (160, 160, 164),
    (140, 62, 36),
)
_TOPS: tuple[Colour, ...] = (
    (216, 72, 66), (64, 112, 190), (244, 210, 96), (242, 240, 234), (92, 60, 120),
    (238, 140, 80), (40, 44, 58), (92, 168, 150), (226, 130, 160), (120, 40, 52),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = (
    (50, 62, 98),
    (44, 44, 50),
    (110, 92, 72),
    (92, 104, 128),
    (150, 136, 112),
    (78, 46, 46),
)
_SHOES: tuple[Colour, ...] = ((38, 34, 34), (236, 234, 230), (110, 66, 42))
_ROUND = np.linspace(0, 2 * np.pi, 12, endpoint=False)


@dataclass(frozen=True)
class Person:
    """Measures in metres and looks. `stride` 0 to 1 is how far the legs are apart, `turn` -1 or 1."""

    height: float
    girth: float
    stride: float
    turn: int
    hem: float
    skin: Colour
    hair: Colour
    top: Colour
    legs: Colour
    shoes: Colour
    long_hair: bool
    hat: bool
    bag: Colour | None

    @property
    def width(self) -> float:
        """Breadth of the figure in metres, arms included."""
        return 0.84 * self.girth * self.height / 1.75


def draw_looks(rng: np.random.Generator) -> Person:
    """Somebody: a child now and then, a coat or a dress for some."""

    def one_of(colours: tuple[Colour, ...]) -> Colour:
        return vary(rng, colours[rng.integers(len(colours))], 0.12)

    return Person(
        height=rng.uniform(1.15, 1.45) if rng.random() < 0.15 else rng.uniform(1.6, 1.92),
        girth=rng.uniform(0.95, 1.2),
        stride=rng.uniform(0.1, 1.0),
        turn=int(rng.choice((-1, 1))),
        hem=rng.choice((0.86, 0.6, 0.45), p=(0.6, 0.25, 0.15)),
        skin=one_of(_SKIN),
        hair=one_of(_HAIR),
        top=one_of(_TOPS),
        legs=one_of(_TROUSERS),
        shoes=one_of(_SHOES),
        long_hair=rng.random() < 0.4,
        hat=rng.random() < 0.15,
        bag=one_of(_TOPS) if rng.random() < 0.3 else None,
    )


def draw_person(stage: Stage, person: Person, x: float, z: float) -> None:
    """Draw somebody at x and z on the ground."""
    scale = np.array([person.turn * person.girth, 1.0]) * person.height / 1.75
    stage.stand(x, z, [(outline * scale, colour) for outline, colour in _body(person)], Label.PERSON)


def _body(person: Person) -> list[tuple[Points, Colour]]:
    """Somebody 1.75 m tall who walks to the right, in metres from the feet, from back to front."""
    step, swing = 0.2 * person.stride, 0.16 * person.stride
    shade = mix(person.top, (30, 26, 40), 0.22)
    dark = mix(person.legs, (20, 18, 30), 0.3)
    shapes = [
        (_limb((-0.19, 1.38), (-0.3 - swing, 0.9), 0.13, 0.1), shade),
        (_oval(-0.31 - swing, 0.86, 0.06, 0.07), person.skin),
        *_leg(-0.09, -step, dark, person.shoes),
        *_leg(0.09, step, person.legs, person.shoes),
    ]
    if person.bag:
        shapes.append((_oval(-0.27, 1.17, 0.14, 0.24), person.bag))
    if person.long_hair:
        shapes.append((_oval(-0.02, 1.5, 0.17, 0.22), person.hair))
    wide = 0.2 + 0.22 * (0.9 - person.hem)
    torso = np.array(
        [[-wide, person.hem], [wide, person.hem], [0.26, 1.36], [0.18, 1.45], [-0.18, 1.45], [-0.26, 1.36]]
    )
    fold = np.array([[-wide, person.hem], [-0.3 * wide, person.hem], [-0.1, 1.45], [-0.18, 1.45], [-0.26, 1.36]])
    shapes += [
        (torso, person.top),
        (fold, shade),
        (_limb((0.21, 1.36), (0.3 + swing, 0.92), 0.13, 0.1), mix(person.top, (255, 250, 240), 0.12)),
        (_oval(0.31 + swing, 0.88, 0.06, 0.07), person.skin),
        (_oval(0.0, 1.62, 0.15, 0.17), person.skin),
        (_cap(1.63, 0.165, 0.17), person.hair),
    ]
    if person.hat:
        shapes += [
            (_cap(1.7, 0.17, 0.18), person.bag or person.top),
            (_limb((-0.1, 1.7), (0.28, 1.69), 0.05, 0.04), shade),
        ]
    return shapes


def _leg(hip: float, step: float, cloth: Colour, shoe: Colour) -> list[tuple[Points, Colour]]:
    foot = hip + step
    sole = np.array([[foot - 0.09, 0.0], [foot + 0.15, 0.0], [foot + 0.12, 0.07], [foot - 0.08, 0.11]])
    return [(sole, shoe), (_limb((hip, 0.92), (foot, 0.07), 0.21, 0.15), cloth)]


def _limb(start: tuple[float, float], end: tuple[float, float], wide: float, narrow: float) -> Points:
    """A tapering bar [4, 2] between two points."""
    a, b = np.array(start), np.array(end)
    along = (b - a) / np.hypot(*(b - a))
    across = np.array([-along[1], along[0]])
    return np.array([a - across * wide / 2, a + across * wide / 2, b + across * narrow / 2, b - across * narrow / 2])


def _oval(x: float, y: float, wide: float, high: float) -> Points:
    return np.stack([x + wide * np.cos(_ROUND), y + high * np.sin(_ROUND)], axis=1)


def _cap(y: float, wide: float, high: float) -> Points:
    """The upper half of a head, longer at the back."""
    angles = np.linspace(-0.15, np.pi + 0.5, 9)
    return np.stack([wide * np.cos(angles), y + high * np.sin(angles)], axis=1)
