"""The light of a scene: time of day, sun, haze, and what they do to a colour at a distance.

Knows colours and moods; refuses to know shapes.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from segwright.sample_data.canvas import Colour


@dataclass(frozen=True)
class Light:
    """Sky colours, a tint for everything lit, and how strong shadows, haze and clouds are.

    `haze` is per metre, `shadow` and `clouds` 0 to 1, `lamps` the share of windows that are lit. `sun` is the
    direction that the sun stands in: -1 at the far left, 1 at the far right; `length` that of the shadows
    relative to the height of what casts them.
    """

    zenith: Colour
    horizon: Colour
    tint: Colour
    shadow: float
    haze: float
    clouds: float
    lamps: float
    sun: float = 0.0
    length: float = 0.6

    def on(self, colour: Colour, distance: float, facing: float = 0.0) -> Colour:
        """A colour in this light and haze.

        `facing` is where the surface looks: -1 to the left, 1 to the right, 0 at the camera.
        """
        brightness = 1.0 + 0.45 * self.shadow * facing * self.sun - 0.22 * abs(facing)
        clear = math.exp(-self.haze * distance)
        gain, veil = clear * brightness, 1 - clear
        return (
            gain * colour[0] * self.tint[0] + veil * self.horizon[0],
            gain * colour[1] * self.tint[1] + veil * self.horizon[1],
            gain * colour[2] * self.tint[2] + veil * self.horizon[2],
        )


_MOODS = (
    Light((86, 148, 218), (196, 222, 240), (1.04, 1.0, 0.95), shadow=0.42, haze=0.006, clouds=0.35, lamps=0.0),
    Light((120, 178, 226), (226, 232, 226), (1.05, 1.02, 0.97), shadow=0.34, haze=0.009, clouds=0.7, lamps=0.0),
    Light((132, 172, 212), (252, 226, 196), (1.07, 0.99, 0.88), shadow=0.4, haze=0.013, clouds=0.4, lamps=0.05),
    Light((112, 140, 190), (255, 206, 146), (1.08, 0.95, 0.78), shadow=0.45, haze=0.01, clouds=0.5, lamps=0.2),
    Light((72, 74, 128), (240, 158, 130), (0.8, 0.71, 0.77), shadow=0.25, haze=0.009, clouds=0.5, lamps=0.55),
    Light((158, 168, 178), (208, 212, 214), (0.9, 0.92, 0.94), shadow=0.1, haze=0.012, clouds=0.9, lamps=0.1),
    Light((184, 192, 198), (220, 222, 220), (0.95, 0.96, 0.97), shadow=0.06, haze=0.024, clouds=0.3, lamps=0.2),
)
"""Clear noon, fair, morning, golden hour, dusk, overcast, mist."""


def draw_light(rng: np.random.Generator) -> Light:
    """One of the moods, a little different every time."""
    mood = _MOODS[rng.choice(len(_MOODS), p=(0.22, 0.18, 0.14, 0.14, 0.12, 0.12, 0.08))]
    return replace(
        mood,
        zenith=vary(rng, mood.zenith, 0.06),
        horizon=vary(rng, mood.horizon, 0.04),
        haze=mood.haze * rng.uniform(0.6, 1.4),
        clouds=mood.clouds * rng.uniform(0.2, 1.2),
        sun=rng.choice((-1, 1)) * rng.uniform(0.3, 1.0),
        length=rng.uniform(0.35, 1.1),
    )


def vary(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    """The colour with its brightness (and, half as much, its hue) moved by up to a share `amount`."""
    red, green, blue = ((1 + rng.uniform(-amount, amount)) * rng.uniform(1 - amount / 2, 1 + amount / 2, 3)).tolist()
    return (min(red * colour[0], 255.0), min(green * colour[1], 255.0), min(blue * colour[2], 255.0))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Between two colours: the first at share 0, the second at 1."""
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return (red, green, blue)
