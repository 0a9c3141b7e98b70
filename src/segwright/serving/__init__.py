"""A trained model behind HTTP: SageMaker's contract for hosting, on an endpoint or on a laptop."""

from segwright.serving.server import serve
from segwright.serving.settings import ServingSettings

__all__ = ["ServingSettings", "serve"]
