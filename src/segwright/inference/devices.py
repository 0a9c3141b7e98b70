"""Where to compute and in which precision: what a user may ask for, and what each device can do.

Knows torch's devices. Refuses to know networks and training.
"""

import torch

from segwright.errors import UserError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def choose_device(name: str | None, local_rank: int = 0) -> torch.device:
    """Return the device called `name` (cpu, cuda, mps), or the best one present when it is None.

    Of several GPUs, the process takes the one of its `local_rank`. Raises UserError when this machine has no such
    device.
    """
    present = _present()
    name = name or present[0]
    if name not in present:
        raise UserError(
            f"--device {name} is not usable here; this machine and this build of PyTorch {torch.__version__} "
            f"have: {', '.join(present)}"
        )
    return _gpu(local_rank) if name == "cuda" else torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype for `precision_dtype` on a device; `auto` is the fastest that trains safely there.

    Raises UserError for float16 on the CPU, where it has no fast kernels.
    """
    if name == "auto":
        return _fastest(device)
    if name == "float16" and device.type == "cpu":
        raise UserError(
            "hyperparameter 'precision_dtype': float16 has no fast kernels on the CPU; "
            "use float32, bfloat16 or auto there"
        )
    return DTYPES[name]


def _gpu(local_rank: int) -> torch.device:
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"process {local_rank} of this machine has no GPU of its own: there are {torch.cuda.device_count()}; "
            "start no more processes than GPUs"
        )
    # Or else helper threads, such as the one that pins memory, would open a context on the first GPU.
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _fastest(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16"):
        return torch.bfloat16
    return torch.float32


def _present() -> list[str]:
    cuda = ["cuda"] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]
