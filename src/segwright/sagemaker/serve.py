"""The entry `serve`: an endpoint or a batch transform with one model, or with several.

Source: SageMaker's contract, sections 6.2 to 6.4.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from segwright.console import PACKAGE_LOGGER
from segwright.errors import UserError
from segwright.inference.runtimes import check_precision
from segwright.sagemaker.logs import log_to_stdout
from segwright.sagemaker.paths import Paths
from segwright.serving import ServingSettings, serve, serve_models

PRECISION_VARIABLE: Final = "SEGWRIGHT_PRECISION"


def run_serving(paths: Paths) -> None:
    """Answer until SIGTERM, in the number format that SEGWRIGHT_PRECISION names, float32 by default. Raises UserError
    for variables and BundleError for models that cannot be used.
    """
    log_to_stdout()
    port = paths.environment.get("SAGEMAKER_BIND_TO_PORT", "").strip() or "8080"
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 1 << 16):
        raise UserError(f"SAGEMAKER_BIND_TO_PORT is {port[:100]}; it takes the number of a port, 1 to 65535.")
    # Answers are the same in every release and on every instance, unless another format is asked for.
    precision = paths.environment.get(PRECISION_VARIABLE, "").strip() or "float32"
    check_precision(precision, PRECISION_VARIABLE)
    # The platform's proxy comes from outside of the container.
    settings = ServingSettings.from_environment(
        paths.environment,
        host="0.0.0.0",
        port=int(port),
        precision=precision,
        access_log=_choice(paths.environment, "SEGWRIGHT_ACCESS_LOG", ("errors", "text", "json")),
        metrics=_choice(paths.environment, "SEGWRIGHT_METRICS", ("false", "true", "0", "1")) in ("true", "1"),
        log_metrics=True,
    )
    PACKAGE_LOGGER.setLevel(settings.log_level)
    if paths.environment.get("SAGEMAKER_MULTI_MODEL", "").strip().lower() == "true":
        serve_models(paths.models, paths.local, settings)
    else:
        serve(paths.model, settings)


def _choice(environment: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """The value of a variable, the first of `choices` where it is empty."""
    value = environment.get(name, "").strip().lower() or choices[0]
    if value not in choices:
        raise UserError(f"{name} is {value[:100]}; it takes {' or '.join(choices)}.", name=name, value=value)
    return value
