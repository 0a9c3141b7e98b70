"""From a trained model and images to masks and probabilities."""

from segwright.inference.logits import assemble, logit_blocks
from segwright.inference.model import Model, load
from segwright.inference.predict import predict_files

__all__ = ["Model", "assemble", "load", "logit_blocks", "predict_files"]
