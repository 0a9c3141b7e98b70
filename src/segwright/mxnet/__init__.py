"""Models that SageMaker's algorithm trained with MXNet and GluonCV, read without either."""

from segwright.mxnet.artefact import find_model, is_mxnet_model, model_in
from segwright.mxnet.model import import_model, read_mxnet_model, size_in_memory

__all__ = ["find_model", "import_model", "is_mxnet_model", "model_in", "read_mxnet_model", "size_in_memory"]
