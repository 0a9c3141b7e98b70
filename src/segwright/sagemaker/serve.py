"""The entry `serve`: an endpoint or a batch transform on what lies in `/opt/ml/model`, or in `/opt/ml/models`.

Knows the variables with which the platform starts a hosting container. Refuses to know what is answered: `serving`
does.

Source: SageMaker's contract, sections 6.2 to 6.4.
"""

from collections.abc import Mapping
from typing import Final

from segwright.console import PACKAGE_LOGGER
from segwright.errors import UserError
from segwright.sagemaker.logs import set_up_logging
from segwright.sagemaker.paths import Paths
from segwright.serving import ServingSettings, serve, serve_models

_PORT: Final = 8080
_EVERYWHERE: Final = "0.0.0.0"  # the platform's proxy comes from outside of the container
_SHOWN: Final = 100  # characters of a value in a message


def serve_tree(tree: Paths) -> None:
    """Answer until SIGTERM. Raises UserError for variables and BundleError for models that cannot be used."""
    environment = tree.environment
    set_up_logging()
    settings = ServingSettings.from_environment(environment, host=_EVERYWHERE, port=_port(environment))
    PACKAGE_LOGGER.setLevel(settings.log_level)
    if environment.get("SAGEMAKER_MULTI_MODEL", "").strip().lower() == "true":
        serve_models(tree.models, tree.local, settings)
    else:
        serve(tree.model, settings)


def _port(environment: Mapping[str, str]) -> int:
    text = environment.get("SAGEMAKER_BIND_TO_PORT", "").strip() or str(_PORT)
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 1 << 16):
        raise UserError(f"SAGEMAKER_BIND_TO_PORT is {text[:_SHOWN]}; it takes the number of a port, 1 to 65535.")
    return int(text)
