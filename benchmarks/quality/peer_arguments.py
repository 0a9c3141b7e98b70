"""The command line that the scripts of all peers share; it needs nothing but Python."""

import argparse
from collections.abc import Callable
from pathlib import Path


def parse_arguments(
    description: str | None,
    weights: str,
    add_options: Callable[[argparse.ArgumentParser], object] = lambda _parser: None,
    *,
    weights_required: bool = False,
) -> argparse.Namespace:
    """Parse `train DATA OUTPUT ...` or `predict DATA OUTPUT SPLIT`; `weights` is the help of --weights, and
    `add_options` adds a peer's own options of the training.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training, predicting = commands.add_parser("train"), commands.add_parser("predict")
    for command in (training, predicting):
        command.add_argument("data", type=Path)
        command.add_argument("output", type=Path)
    predicting.add_argument("split")
    training.add_argument("--weights", type=Path, required=weights_required, help=weights)
    training.add_argument("--classes", type=int, required=True)
    training.add_argument("--minutes", type=float, required=True)
    training.add_argument("--seed", type=int, default=0)
    add_options(training)
    return parser.parse_args()
