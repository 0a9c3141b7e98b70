"""Which device to compute on, in which precision and with how many threads."""

import logging
import re
import warnings
from pathlib import Path
from typing import Final

import cv2
import torch

from segwright.errors import HyperparameterError, UserError
from segwright.resources import available_cores

logger = logging.getLogger(__name__)

DTYPES: Final = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_DRIVER: Final = Path("/sys/module/nvidia/version")  # there while NVIDIA's kernel module is loaded, in containers, too

Capability = tuple[int, int]
"""A GPU's compute capability as NVIDIA counts it: major and minor number."""


def choose_device(name: str | None, local_rank: int = 0) -> torch.device:
    """The device called `name` (cpu, cuda, mps), or the best one present when it is None.

    Of several GPUs, the process takes the one of its `local_rank`. A GPU that PyTorch cannot use is warned of.

    Raises UserError when this machine has no such device, and for a GPU that this build of PyTorch has no kernels for.
    """
    with warnings.catch_warnings(action="ignore"):  # of a driver that is too old: _idle_gpu reports it
        cuda = torch.cuda.is_available()
    present = [*(["cuda"] if cuda else []), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    idle = "" if cuda else _idle_gpu()
    if name is None and idle and local_rank == 0:
        logger.warning(f"Everything is computed on the {present[0].upper()}: {idle}")
    name = name or present[0]
    if name not in present:
        raise UserError(
            f"device {name} is not usable here; this machine and this build of PyTorch {torch.__version__} "
            f"have: {', '.join(present)}" + (f"; {idle}" if idle else ""),
            name="device",
            value=name,
        )
    return _gpu(local_rank) if name == "cuda" else torch.device(name)


def limit_threads(processes: int = 1) -> None:
    """Compute with this process's share of the cores that it may use (affinity, control group), among `processes`.

    PyTorch and OpenCV count the cores of the machine, of which a container may have a few: more threads than cores wait
    for each other. A smaller number that was set before, as by OMP_NUM_THREADS, stays.
    """
    most = max(available_cores() // processes, 1)
    torch.set_num_threads(min(torch.get_num_threads(), most))
    cv2.setNumThreads(min(cv2.getNumThreads(), most))


def choose_precision(name: str, device: torch.device, option: str = "precision_dtype") -> torch.dtype:
    """The dtype of a number format on a device; `auto` is the fastest that trains safely there. Messages call it
    `option`.

    Raises HyperparameterError for float16 on the CPU, where it has no fast kernels.
    """
    if name == "float16" and device.type == "cpu":
        raise HyperparameterError(
            f"{option} is float16, which has no fast kernels on the CPU; use float32, bfloat16 or auto there",
            name=option,
            value=name,
        )
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16"):
        return torch.bfloat16
    return torch.float32


def _gpu(local_rank: int) -> torch.device:
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"process {local_rank} of this machine has no GPU of its own: there are {torch.cuda.device_count()}; "
            "start no more processes than GPUs"
        )
    # Or else helper threads, such as the one that pins memory, would open a context on the first GPU.
    torch.cuda.set_device(local_rank)
    _check_kernels(local_rank)
    return torch.device("cuda", local_rank)


def _check_kernels(gpu: int) -> None:
    """Report at once what would otherwise end in "no kernel image is available", minutes later."""
    with warnings.catch_warnings(action="ignore"):  # torch reports the same in a dozen lines
        capability = torch.cuda.get_device_capability(gpu)
    kernels = torch.cuda.get_arch_list() if torch.version.cuda else []
    if not kernels or any(_runs(code, capability) for code in kernels):
        return
    if capability < (5, 0):  # PyTorch's CUDA builds of 2.12 to 2.14 (its RELEASE.md, CUDA support matrix)
        cure = "no build of today has any for it: take a newer instance"
    else:
        cure = f"take the image variant {'cu126' if capability < (10, 0) else 'cu130'}"
    major, minor = capability
    built = ", ".join(f"{one}.{other}" for one, other in sorted({_capability_of(code) for code in kernels}))
    raise UserError(
        f"this machine's GPU, {torch.cuda.get_device_name(gpu)}, has compute capability {major}.{minor}, "
        f"and this build of PyTorch, {torch.__version__}, has kernels for {built} only; {cure} "
        "(docs/instances.md), or compute on the CPU (device cpu)",
        name="device",
    )


def _runs(code: str, capability: Capability) -> bool:
    """Whether a GPU runs what was compiled as sm_XY: within a major number, from that minor number on. The driver
    compiles compute_XY (PTX) for every GPU from there on; with an "a" behind it, either fits that one GPU alone.
    """
    built = _capability_of(code)
    if code.endswith("a"):
        return built == capability
    return built <= capability and (code.startswith("compute_") or built[0] == capability[0])


def _capability_of(code: str) -> Capability:
    digits = re.sub(r"\D", "", code)
    return int(digits[:-1]), int(digits[-1])


def _idle_gpu() -> str:
    """Why PyTorch cannot use the NVIDIA GPU of this machine, in a sentence; empty where there is none."""
    try:
        driver = _DRIVER.read_text().strip()
    except OSError:
        return ""
    reason = "it finds no GPU, though the driver is there"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
    return (
        f"this machine has an NVIDIA GPU with driver {driver}, but PyTorch {torch.__version__} cannot use it "
        f"({reason}); docs/instances.md says which image variant needs which driver."
    )
