"""Chooses what computes a bundle, by number format and by speed."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from segwright.bundle import Description
from segwright.devices import choose_precision
from segwright.errors import UserError
from segwright.exported import read_exports
from segwright.inference.runtimes.advice import why_not
from segwright.inference.runtimes.agreement import difference_here
from segwright.inference.runtimes.base import Runtime
from segwright.inference.runtimes.candidates import Candidate, find_candidates
from segwright.inference.runtimes.pytorch import PyTorchRuntime
from segwright.inference.runtimes.timing import seconds_of
from segwright.networks import NetworkSpec, SegmentationNetwork
from segwright.precisions import PRECISIONS
from segwright.wording import listed

_LEAST_GAIN: Final = 1.1  # times as fast as what is exact; less is chance

logger = logging.getLogger(__name__)


def choose_runtime(
    precision: str, path: Path, description: Description, network: SegmentationNetwork, *, streams: int = 1
) -> Runtime:
    """What computes the bundle at `path` in a number format, on the device where its network is.

    float32 and float16 are computed by PyTorch, bfloat16 and int8 by the fastest runtime that can. `auto` is the
    fastest of all formats that are proven for this bundle and faster here than PyTorch in float32, else that; a line
    says which, and why. `streams` images are computed at the same time. Raises UserError for a format that cannot be
    had.
    """
    check_precision(precision)
    if precision in ("float32", "float16"):
        return PyTorchRuntime(network, choose_precision(precision, network.device, "precision"))
    exports = read_exports(path) if network.device.type == "cpu" else []
    exact, *others = find_candidates(exports, description, network, streams)
    if precision == "auto":
        allowed = [exact, *(candidate for candidate in others if not candidate.objection)]
        objections = list(dict.fromkeys(candidate.objection for candidate in others if candidate.objection))
    else:
        allowed, objections = [candidate for candidate in others if candidate.precision == precision], []
    runtimes = _open(allowed, PyTorchRuntime(network), network.spec)
    if not runtimes:
        reason = why_not(precision, path, network.device, exports)
        raise UserError(f"precision {precision} cannot be had: {reason}", name="precision", value=precision)
    seconds = seconds_of(list(runtimes.values()), network.spec) if len(runtimes) > 1 else [1.0]
    times = dict(zip(runtimes, seconds, strict=True))
    chosen = fastest(times, exact)
    logger.info(f"precision {precision}: {describe_choice(chosen, times, exact, objections)}")
    return runtimes[chosen]


def check_precision(precision: str, name: str = "precision") -> None:
    """Raise UserError for a text that names no number format; messages call it `name`."""
    if precision not in PRECISIONS:
        allowed = listed(PRECISIONS, len(PRECISIONS))
        raise UserError(f"{name} is {precision[:100]}; it takes one of {allowed}.", name=name, value=precision)


def fastest(times: Mapping[Candidate, float], exact: Candidate) -> Candidate:
    """The candidate of the shortest time, or `exact` where none is clearly faster than that."""
    chosen = min(times, key=times.__getitem__)
    return exact if exact in times and times[exact] < _LEAST_GAIN * times[chosen] else chosen


def describe_choice(
    chosen: Candidate, times: Mapping[Candidate, float], exact: Candidate, objections: Sequence[str]
) -> str:
    """What was chosen, what it gains and costs, and why not another one, in one line."""
    said, reasons = [str(chosen)], list(objections)
    if chosen is not exact:
        said += [f"{times[exact] / times[chosen]:.1f} times as fast as {exact} here"] if exact in times else []
        said += [chosen.cost] if chosen.cost else []
    elif slower := [str(other) for other in times if other is not exact]:
        reasons.insert(0, f"no faster here: {listed(slower, len(slower))}")
    return ", ".join(said) + (f" ({'; '.join(reasons)})" if reasons else "")


def _open(allowed: Sequence[Candidate], exact: PyTorchRuntime, spec: NetworkSpec) -> dict[Candidate, Runtime]:
    """Open runtimes; a warning names those that fail, or compute something else than PyTorch in float32."""
    opened = dict[Candidate, Runtime]()
    for candidate in allowed:
        try:
            runtime = candidate.open()
            if candidate.tolerance is not None:
                share = difference_here(runtime, exact, spec)
                if share > candidate.tolerance:
                    raise UserError(f"its logits are {share:.1%} of the largest off on this processor")
        except Exception as error:  # Each library has its own.
            logger.warning(f"{candidate} is not used: {(str(error) or type(error).__name__).splitlines()[0]}")
            continue
        opened[candidate] = runtime
    return opened
