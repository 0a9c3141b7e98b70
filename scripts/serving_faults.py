"""Torment a server: fill its queue and send malformed requests while good ones go on; every good one must be right.

python scripts/serving_faults.py [--faults 1000] [--seed 0]

It serves a small untrained model, and prints what each kind of fault was answered, the slowest /ping and the memory;
exit status 1 where an answer was wrong, or a /ping took 2 seconds. The test suite sends a few.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # for tests.helpers

from tests.helpers.served import server, write_bundle
from tests.helpers.serving_faults import torment


def main() -> int:
    """Torment, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "model")
        environment = {**os.environ, "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20"}
        serve = ("-m", "segwright", "serve", bundle, "--port", "0", "--device", "cpu", "--access-log", "json")
        with server(*serve, environment=environment) as running:
            report = torment(running, bundle, options.faults, options.seed)
            if status := running.stop():
                report.wrong.append(f"the server ended with {status}")
            report.wrong += [line for line in running.messages if "Traceback" in line]
    print(*report.lines(), sep="\n")
    return 1 if report.wrong or report.slowest_ping >= 2 else 0


if __name__ == "__main__":
    sys.exit(main())
