"""Throw mutated inputs at every parser: only UserErrors may come out, in bounded memory and time.

    python scripts/fuzz.py [--inputs 100000] [--seed 0]

The number is that of all inputs together. Each core works on a share of them in a process that may use four gigabytes
of memory; an input that takes longer than twenty seconds is a fault as well (the largest picture that is read takes
two to decode, and is decoded six times). What failed is printed with its target and its number, from which it can be
made again.
"""

import argparse
import logging
import os
import random
import resource
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.helpers.fuzz_formats import FORMATS
from tests.helpers.fuzz_importers import IMPORTERS
from tests.helpers.fuzz_others import OTHERS
from tests.helpers.fuzzing import attempt, mutate

from segwright.formats.quiet import silence_decoders

TARGETS = FORMATS | IMPORTERS | OTHERS
MEMORY = 4 << 30
SECONDS = 20.0


def run(target: str, numbers: range, seed: int) -> list[str]:
    """Try some inputs of one target; a line for each fault."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    silence_decoders()
    warnings.simplefilter("error")
    logging.disable()  # what is logged of odd inputs
    seeds = TARGETS[target].seeds()
    faults = []
    for number in numbers:
        chance = random.Random(f"{seed} {target} {number}")
        data = mutate(chance.choice(seeds), chance)
        start = time.monotonic()
        fault = attempt(TARGETS[target], data)
        taken = time.monotonic() - start
        if fault or taken > SECONDS:
            faults.append(f"{target} {number}: {fault or f'{taken:.1f} s'}")
    return faults


def main() -> int:
    """Share the inputs out, print what failed, and return 1 where anything did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    each = -(-arguments.inputs // len(TARGETS))
    jobs = [(target, range(first, min(first + 1000, each))) for first in range(0, each, 1000) for target in TARGETS]
    start = time.monotonic()
    faults: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(run, *zip(*jobs, strict=True), [arguments.seed] * len(jobs)):
            faults += found
    for fault in faults:
        print(fault)
    print(f"{each * len(TARGETS):,} inputs, {len(faults)} faults, {time.monotonic() - start:.0f} s")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
