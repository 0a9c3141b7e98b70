"""From a trained model and images to masks and probabilities."""

from segwright.inference.logits import Block, assemble, logit_blocks
from segwright.inference.model import Model, load
from segwright.inference.predict import predict_files
from segwright.inference.runtimes import PyTorchRuntime, Runtime

__all__ = ["Block", "Model", "PyTorchRuntime", "Runtime", "assemble", "load", "logit_blocks", "predict_files"]
