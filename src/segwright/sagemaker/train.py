"""The entry `train`: one training job, from the tree below `/opt/ml` to a model in it.

Knows the order of things in a job and what its end means to the platform. Refuses to know how a network is trained:
`training.run` does.

Source: SageMaker's contract, sections 4.1 and 6.1.
"""

import logging
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import torch

from segwright.bundle import DESCRIPTION, read_description
from segwright.console import PACKAGE_LOGGER
from segwright.errors import UserError
from segwright.sagemaker.channels import locate_channels, tell_absent_label_maps
from segwright.sagemaker.job import Job
from segwright.sagemaker.launcher import is_first, launch, rank
from segwright.sagemaker.logs import SageMakerReporter, set_up_logging
from segwright.sagemaker.model_channel import unpack_earlier_model
from segwright.sagemaker.paths import Paths
from segwright.sagemaker.settings import as_strings, read_settings, tell_settings
from segwright.sagemaker.termination import GRACE, not_overdue
from segwright.sagemaker.words import in_words_of_a_job
from segwright.stopping import StopRequest
from segwright.storage import write_bytes, write_json
from segwright.training.last_resort import write_fallback
from segwright.training.run import CHECKPOINT_EVERY, train

logger = logging.getLogger(__name__)

SUCCESS: Final = 0
ALGORITHM_ERROR: Final = 1
CLIENT_ERROR: Final = 2

_COMMAND: Final = (sys.executable, "-m", "segwright", "container", "train")
_METRICS: Final = "metrics.jsonl"
_GRACE_OF_SEVERAL: Final = GRACE - 10.0  # seconds; then this process makes a model of what they have left


def run_training(tree: Paths, stop: StopRequest) -> int:
    """Run the job that a tree describes, and return the exit status; a failure is written where SageMaker reads it.

    A wish to `stop` ends it with a usable model and success: the platform knows that it has stopped the job.
    """
    set_up_logging()
    if is_first():
        _forget_failure(tree)
    else:
        PACKAGE_LOGGER.setLevel(logging.ERROR)  # What the first process says need not be said again.
    return _ended(tree, lambda: _run_or_stop(tree, stop))


def end_stopped(tree: Paths) -> int:
    """End a job that was told to stop and has not: its model is made of what is on the disk."""
    logger.warning("The training does not stop by itself.")
    return _ended(tree, lambda: _stopped(tree))


def _ended(tree: Paths, work: Callable[[], int]) -> int:
    """Do some work and return its exit status; where it fails, say why, and return the status that says so."""
    try:
        return work()
    except UserError as error:
        return _refuse(tree, str(error))
    except OSError as error:
        if error.filename is None:
            return _break_off(tree, error)
        return _refuse(tree, f"{error.filename}: {error.strerror}")
    except Exception as error:
        return _break_off(tree, error)


def _run_or_stop(tree: Paths, stop: StopRequest) -> int:
    try:
        return _run(tree, stop)
    except KeyboardInterrupt:
        return _stopped(tree)
    except UserError:
        raise
    except Exception:
        if not stop.made:
            raise
        logger.error(traceback.format_exc().rstrip())
        return _stopped(tree)  # That it has failed at the end matters less than its model.


def _run(tree: Paths, stop: StopRequest) -> int:
    began = time.time()
    job = Job.read(tree)
    settings = read_settings(job.hyperparameters)
    gpus = min(torch.cuda.device_count(), settings.mini_batch_size)
    if gpus > 1 and rank() is None:
        if stop.made:
            return _stopped(tree)
        return _launched(tree, launch(_COMMAND, gpus, stop, _GRACE_OF_SEVERAL), stop)
    tell_settings(job.hyperparameters, settings)
    where = "disabled." if job.checkpoints is None else f"enabled: {job.checkpoints}"
    logger.info(f"Checkpoint loading and saving are {where}")
    channels = locate_channels(tree, job.channels)
    tell_absent_label_maps(channels)
    if is_first():
        _clear_model_folder(tree)
        if job.starts_from_a_model:
            unpack_earlier_model(tree)  # The other processes wait for this one in `train`.
    train(
        channels,
        tree.model,
        settings,
        start_from=tree.earlier_model if job.starts_from_a_model else None,
        checkpoints=job.checkpoints,
        checkpoint_every=None if job.checkpoints is None else CHECKPOINT_EVERY,
        resume=True,
        in_place=True,
        stop=stop,
        reporter=SageMakerReporter(job.host, gpus, began),
        job=job.name,
    )
    _finish(tree)
    return SUCCESS


def _clear_model_folder(tree: Paths) -> None:
    """Remove what a killed process has half written, or it would travel with the model."""
    for left in tree.model.glob(".*.partial*"):
        left.unlink()


def _launched(tree: Paths, status: int, stop: StopRequest) -> int:
    """What the status of several processes means for the job."""
    if status == SUCCESS or (stop.made and status != CLIENT_ERROR):
        _forget_failure(tree)  # Processes that another has left alone complain.
        return SUCCESS if status == SUCCESS else _stopped(tree)
    if status > 0:
        return status
    sentence = f"a training process was killed by signal {-status}, as the system does when memory is short"
    logger.error(sentence)
    _forget_failure(tree)  # What the others said follows from this.
    _write_failure(tree, f"AlgorithmError: {sentence}")
    return ALGORITHM_ERROR


def _finish(tree: Paths) -> None:
    """Add to the model what the original has in its own, and copy the curves to where no model need be unpacked."""
    if not is_first():
        return
    final = as_strings(read_description(tree.model).hyperparameters)
    try:
        write_json(tree.model / "hyperparams.json", final)
        write_bytes(tree.output_data / _METRICS, (tree.model / _METRICS).read_bytes())
    except OSError as error:  # The model is there, and a failure would keep the platform from fetching it.
        logger.warning(f"{error.filename}: {error.strerror}; the job ends without this file")


def _stopped(tree: Paths) -> int:
    """End a job that was told to stop, with the model that it has saved, or else one made of what is known."""
    if not is_first():
        return SUCCESS
    not_overdue()
    _clear_model_folder(tree)
    if not (tree.model / DESCRIPTION).is_file():
        job = Job.read(tree)
        channels, settings = locate_channels(tree, job.channels), read_settings(job.hyperparameters)
        start = tree.earlier_model if job.starts_from_a_model else None
        write_fallback(channels, tree.model, settings, start, job.checkpoints, job.name)
    if (tree.model / DESCRIPTION).is_file():
        _finish(tree)
        logger.info(f"Stopped; the model is in {tree.model}")
    return SUCCESS


def _refuse(tree: Paths, sentence: str) -> int:
    """End a job that its owner has to mend."""
    logger.error(sentence)
    _write_failure(tree, f"ClientError: {in_words_of_a_job(sentence)}")
    return CLIENT_ERROR


def _break_off(tree: Paths, error: Exception) -> int:
    """End a job that we have to mend: the traceback is for the log only."""
    logger.error(traceback.format_exc().rstrip())
    _write_failure(tree, f"AlgorithmError: {_cause(error)}. The log holds the traceback.")
    return ALGORITHM_ERROR


def _cause(error: Exception) -> str:
    """An error in a line: the first of its message, or the last where it holds the traceback of a loader's process."""
    first, *others = str(error).splitlines() or [""]
    from_loader = bool(others) and "Traceback" in others[0]
    return (others[-1] if from_loader else f"{type(error).__name__}: {first}").rstrip(": .")


def _write_failure(tree: Paths, reason: str) -> None:
    """Keep the first reason: what other processes say follows from it. The platform reads 1,024 characters of it."""
    try:
        if not tree.failure.exists():
            write_bytes(tree.failure, reason.encode(errors="backslashreplace"))
    except OSError as error:
        logger.error(f"{error.filename}: {error.strerror}; the reason stands in this log only")


def _forget_failure(tree: Paths) -> None:
    with suppress(OSError):
        tree.failure.unlink(missing_ok=True)
