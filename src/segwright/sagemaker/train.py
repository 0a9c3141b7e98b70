"""The entry `train`: one training job, from what lies below `/opt/ml` to a model there.

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
from segwright.errors import ResumeError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.sagemaker.channels import locate_channels, log_missing_label_maps
from segwright.sagemaker.hyperparameters import log_hyperparameters, read_hyperparameters, to_strings
from segwright.sagemaker.job import Job
from segwright.sagemaker.launcher import is_main, launch, rank
from segwright.sagemaker.logs import SageMakerReporter, log_to_stdout
from segwright.sagemaker.model_channel import unpack_parent_model
from segwright.sagemaker.paths import Paths
from segwright.sagemaker.termination import GRACE, cancel_deadline
from segwright.stopping import StopRequest
from segwright.storage import write_bytes, write_json
from segwright.training import CheckpointPolicy
from segwright.training.last_resort import write_fallback
from segwright.training.run import Training

logger = logging.getLogger(__name__)

SUCCESS: Final = 0
ALGORITHM_ERROR: Final = 1
CLIENT_ERROR: Final = 2

_COMMAND: Final = (sys.executable, "-m", "segwright", "container", "train")
_METRICS: Final = "metrics.jsonl"
_GRACE_OF_LAUNCHED: Final = GRACE - 10.0  # seconds; then this process makes a model of what they have written

_JOB_CURES: Final = {
    "resume": "another S3Uri in CheckpointConfig starts over; the channel model starts from the model of a training.",
    "checkpoints": "CheckpointConfig names the folder of checkpoints.",
    "start_from": "the channel model is start_from.",
    "device": "the instance type decides on the device.",
    "class_names": "label_map/class_names.json holds the class names.",
    "attributes": "AttributeNames names the attributes of image and mask, and no others.",
}
"""What to do in a job, by the option that an error names."""


def run_training(paths: Paths, stop: StopRequest) -> int:
    """Run the training job and return its exit status; the reason of a failure is written where SageMaker reads it.

    A stop request ends it with a usable model and success: the platform knows that it has stopped the job.
    """
    log_to_stdout()
    if is_main():
        _remove_failure(paths)
    else:
        PACKAGE_LOGGER.setLevel(logging.ERROR)  # the first process logs for all
    return _exit_status(paths, lambda: _train_or_stop(paths, stop))


def end_overdue(paths: Paths) -> int:
    """End a job at the deadline after SIGTERM, with a model made of what is on the disk; its exit status."""
    logger.warning("The training does not stop by itself.")
    return _exit_status(paths, lambda: _end_stopped(paths))


def _exit_status(paths: Paths, work: Callable[[], int]) -> int:
    """The exit status of `work`; where it fails, the reason is logged and written to the failure file."""
    try:
        return work()
    except UserError as error:
        cure = _JOB_CURES.get("resume" if isinstance(error, ResumeError) else error.name)
        reason = f"{error} In a job: {cure}" if cure else str(error)
    except Exception as error:
        if not isinstance(error, OSError) or error.filename is None:
            logger.error(traceback.format_exc().rstrip())
            _write_failure(paths, f"AlgorithmError: {_first_cause(error)}. The log holds the traceback.")
            return ALGORITHM_ERROR
        reason = f"{error.filename}: {error.strerror}"
    logger.error(reason)
    _write_failure(paths, f"ClientError: {reason}")
    return CLIENT_ERROR


def _train_or_stop(paths: Paths, stop: StopRequest) -> int:
    try:
        return _train(paths, stop)
    except KeyboardInterrupt:
        return _end_stopped(paths)
    except UserError:
        raise
    except Exception:
        if not stop.made:
            raise
        logger.error(traceback.format_exc().rstrip())
        return _end_stopped(paths)  # a failure at the end matters less than the model


def _train(paths: Paths, stop: StopRequest) -> int:
    started = time.time()
    job = Job.read(paths)
    settings = read_hyperparameters(job.hyperparameters)
    gpus = min(torch.cuda.device_count(), settings.mini_batch_size)
    if gpus > 1 and rank() is None:
        if stop.made:
            return _end_stopped(paths)
        return _end_launched(paths, launch(_COMMAND, gpus, stop, _GRACE_OF_LAUNCHED), stop)
    log_hyperparameters(job.hyperparameters, settings)
    checkpointing = "disabled." if job.checkpoints is None else f"enabled: {job.checkpoints}"
    logger.info(f"Checkpoint loading and saving are {checkpointing}")
    training = _training(paths, job, settings)
    log_missing_label_maps(training.channels)
    if is_main():
        _remove_partial_files(paths)
        if job.parent_model:
            unpack_parent_model(paths)  # the other processes wait for this one in `Training.run`
    training.stop, training.reporter = stop, SageMakerReporter(job.host, gpus, started)
    training.run()
    _write_copies(paths)
    return SUCCESS


def _training(paths: Paths, job: Job, settings: Hyperparameters) -> Training:
    every = None if job.checkpoints is None else CheckpointPolicy.every
    policy = CheckpointPolicy(job.checkpoints, every, resume=True, in_place=True, job=job.name)
    return Training(locate_channels(paths, job.channels), paths.model, settings, policy, job.parent_model)


def _end_launched(paths: Paths, status: int, stop: StopRequest) -> int:
    """The exit status of the job, from that of its processes."""
    if status == SUCCESS or (stop.made and status != CLIENT_ERROR):
        _remove_failure(paths)  # a process writes one when the others leave it
        return SUCCESS if status == SUCCESS else _end_stopped(paths)
    if status > 0:
        return status
    reason = f"a training process was killed by signal {-status}, as the system does when memory is short"
    logger.error(reason)
    _remove_failure(paths)  # the failures of the others follow from this one
    _write_failure(paths, f"AlgorithmError: {reason}")
    return ALGORITHM_ERROR


def _end_stopped(paths: Paths) -> int:
    """End a stopped job with the model that it has saved, or one made of the newest checkpoint or the first weights."""
    if not is_main():
        return SUCCESS
    cancel_deadline()
    _remove_partial_files(paths)
    if not (paths.model / DESCRIPTION).is_file():
        job = Job.read(paths)
        write_fallback(_training(paths, job, read_hyperparameters(job.hyperparameters)))
    if (paths.model / DESCRIPTION).is_file():
        _write_copies(paths)
        logger.info(f"Stopped; the model is in {paths.model}")
    return SUCCESS


def _write_copies(paths: Paths) -> None:
    """Write `hyperparams.json` as the original does, and copy the curves to where no model need be unpacked."""
    if not is_main():
        return
    final = to_strings(read_description(paths.model).hyperparameters)
    try:
        write_json(paths.model / "hyperparams.json", final)
        write_bytes(paths.output_data / _METRICS, (paths.model / _METRICS).read_bytes())
    except OSError as error:  # a failure would keep the platform from fetching the model
        logger.warning(f"{error.filename}: {error.strerror}; the job ends without this file")


def _remove_partial_files(paths: Paths) -> None:
    """Remove what a killed process has half written, which would travel with the model."""
    for file in paths.model.glob(".*.partial*"):
        file.unlink()


def _first_cause(error: Exception) -> str:
    """An error in a line: the first of its message, or the last where it holds the traceback of a loader's process."""
    first, *others = str(error).splitlines() or [""]
    from_loader = bool(others) and "Traceback" in others[0]
    return (others[-1] if from_loader else f"{type(error).__name__}: {first}").rstrip(": .")


def _write_failure(paths: Paths, reason: str) -> None:
    """Write the failure file, of which 1,024 characters are read; the first failure stays, others follow from it."""
    try:
        if not paths.failure.exists():
            write_bytes(paths.failure, reason.encode(errors="backslashreplace"))
    except OSError as error:
        logger.error(f"{error.filename}: {error.strerror}; the reason stands in this log only")


def _remove_failure(paths: Paths) -> None:
    with suppress(OSError):
        paths.failure.unlink(missing_ok=True)
