"""Drawn street scenes with exact masks."""

from segwright.sample_data.scene import CLASS_NAMES, draw_scene

__all__ = ["CLASS_NAMES", "draw_scene"]
