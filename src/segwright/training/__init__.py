"""Training: from checked data to a bundle."""

from segwright.training.checkpoints import CheckpointPolicy
from segwright.training.run import train

__all__ = ["CheckpointPolicy", "train"]
