"""The sky: a gradient, clouds, and the glow of the sun. Knows weather; drawn first, behind everything."""

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.sample_data.light import mix
from segwright.sample_data.stage import Stage


def draw_sky(stage: Stage) -> None:
    """Cover the whole picture with sky."""
    light, image = stage.light, stage.canvas.image
    height, width = image.shape[:2]
    horizon = max(stage.camera.horizon, 1.0)
    up = np.clip(1 - np.arange(height) / horizon, 0, 1)[:, None, None] ** 0.8
    gradient = (np.asarray(light.horizon) + up * np.subtract(light.zenith, light.horizon)).astype(np.float32)
    white = np.asarray(mix(light.horizon, (255, 252, 248), 0.6), np.float32)
    veil = cv2.resize(_veil(stage, width // 4, height // 4, horizon / 4), (width, height))[..., None]
    image[:] = gradient + veil * (white - gradient)


def _veil(stage: Stage, width: int, height: int, horizon: float) -> NDArray[np.float32]:
    """How white clouds and sun make the sky, float32 [height, width], 0 to 1."""
    rng, light = stage.rng, stage.light
    cover = np.zeros((height, width), np.float32)
    for _ in range(rng.poisson(7 * light.clouds)):
        _draw_cloud(
            rng,
            cover,
            rng.uniform(0, width),
            horizon * rng.uniform(0.05, 0.85),
            width * rng.uniform(0.02, 0.06),
        )
    cv2.GaussianBlur(cover, (0, 0), max(width / 100, 0.6), dst=cover)
    if light.shadow > 0.2:
        at = (int(width * (0.5 + 0.5 * light.sun)), int(horizon * rng.uniform(0.15, 0.8)))
        disc = cv2.circle(np.zeros_like(cover), at, max(width // 28, 1), (1.0,), -1)
        sun = cv2.GaussianBlur(disc, (0, 0), 0.8)
        cover = np.maximum(cover, sun + 2.5 * cv2.GaussianBlur(sun, (0, 0), width / 14))
    return np.clip(cover, 0, 1)


def _draw_cloud(rng: np.random.Generator, cover: NDArray[np.float32], column: float, row: float, size: float) -> None:
    """A row of puffs on a flat base."""
    for _ in range(rng.integers(4, 9)):
        at = (int(column + rng.normal(0, 2.2 * size)), int(row - abs(rng.normal(0, 0.4 * size))))
        axes = (int(size * rng.uniform(1, 2.2)) + 1, int(size * rng.uniform(0.3, 0.6)) + 1)
        cv2.ellipse(cover, at, axes, 0, 0, 360, (float(rng.uniform(0.4, 0.9)),), -1)
