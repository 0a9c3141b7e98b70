"""From a trained model and images to masks and probabilities."""

from segwright.inference.logits import image_mask, image_probabilities, logit_blocks
from segwright.inference.model import Model, load
from segwright.inference.predict import predict_files

__all__ = ["Model", "image_mask", "image_probabilities", "load", "logit_blocks", "predict_files"]
