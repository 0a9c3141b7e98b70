"""Models that SageMaker's original algorithm trained, read without MXNet.

`files` finds a model's files, `reading` makes a network and its description of them, `importing` writes a bundle.
"""

from segwright.mxnet.artefact import find_model, is_mxnet_model, model_in
from segwright.mxnet.importing import import_model
from segwright.mxnet.reading import read_original, size_in_memory

__all__ = ["find_model", "import_model", "is_mxnet_model", "model_in", "read_original", "size_in_memory"]
