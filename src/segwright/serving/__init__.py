"""A trained model behind HTTP: SageMaker's contract for hosting, on an endpoint or on a laptop."""

from segwright.serving.server import serve, serve_models
from segwright.serving.settings import COLOURED_MASK, ServingSettings

__all__ = ["COLOURED_MASK", "ServingSettings", "serve", "serve_models"]
