"""Finds out in seconds whether published weights can be had; the hub's client alone tries for half a minute."""

from pathlib import Path
from threading import Thread
from typing import Final

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError

from segwright.errors import UserError
from segwright.networks.backbone import timm_name
from segwright.networks.timm_import import timm

_PATIENCE: Final = 3.0  # seconds


def check_published(backbone: str) -> None:
    """Raise UserError where no weights are published for a backbone, or where they are neither in the Hugging Face
    cache nor to be had from the hub. HyperparameterError for a backbone that does not exist.
    """
    name = timm_name(backbone)
    if not timm.is_model_pretrained(name):
        raise UserError(
            f"backbone: no weights are published for {name!r}. Give a file of your own as backbone_weights, "
            "or start from random weights with use_pretrained_model False."
        )
    published = timm.get_pretrained_cfg(name)
    repository = published and published.hf_hub_id  # None for a few, which are elsewhere
    if repository and not _is_cached(repository) and (problem := _hub_problem(repository)):
        raise cannot_be_fetched(name, problem)


def cannot_be_fetched(name: str, problem: str) -> UserError:
    """The error for weights that cannot be had."""
    return UserError(
        f"The ImageNet weights of {name!r} could not be fetched ({problem}). Without a connection, give a file as "
        "backbone_weights, start from random weights with use_pretrained_model False, or fill the Hugging Face cache "
        "beforehand (HF_HOME is its path)."
    )


def _is_cached(repository: str) -> bool:
    folder = f"models--{repository.replace('/', '--')}"
    files = Path(constants.HF_HUB_CACHE, folder).glob("snapshots/*/*")
    return any(file.suffix in (".safetensors", ".bin") for file in files)


def _hub_problem(repository: str) -> str | None:
    """Why the hub cannot be asked, by its client's own rules for proxies, mirrors and offline mode.

    None where it answers, whatever it answers. A thread, because looking up the hub's address knows no time-out.
    """
    problems: list[str] = []

    def ask() -> None:
        try:
            get_hf_file_metadata(hf_hub_url(repository, "config.json"), timeout=_PATIENCE)
        except HfHubHTTPError:
            pass
        except Exception as error:  # of the client's several HTTP libraries, and of the operating system
            problems.append((str(error).splitlines() or [type(error).__name__])[0])

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if thread.is_alive():
        return f"no answer from {constants.ENDPOINT} within {_PATIENCE:g} seconds"
    return problems[0] if problems else None
