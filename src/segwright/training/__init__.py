"""Training: from checked data to a bundle."""

from segwright.training.run import train

__all__ = ["train"]
