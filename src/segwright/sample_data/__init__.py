"""Drawn street scenes with exact masks, for the sample data and the demo."""

from segwright.sample_data.scene import CLASS_NAMES, draw_scene

__all__ = ["CLASS_NAMES", "draw_scene"]
