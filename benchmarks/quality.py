"""Masks of Segwright and of its peers: same encoder, same weights, same time on the CPU, one scorer.

    python benchmarks/quality.py run --set camvid --system ours --seed 0 --minutes 25
    python benchmarks/quality.py run --set camvid --system ours --minutes 6 --name no-flips --options "--..."
    python benchmarks/quality.py todo [| head -4] [| sh]
    python benchmarks/quality.py table
    python benchmarks/quality.py latency WORK/runs/KEY/model ... --plot

`run` prepares the data, trains, predicts the validation and test images, scores the masks, and appends a line to
benchmarks/quality/results.jsonl; a run that has a line there is skipped, and one that was interrupted after its
training goes on there. `todo` prints the commands of the comparison that have no result yet; run one at a time on an
idle machine. `table` prints Markdown. `latency` measures models in turns and joins them with their scores on CamVid;
--plot needs matplotlib.

Each peer needs its environment: benchmarks/quality/environment.sh PEER WORK/venvs/PEER.
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))  # its modules, which peers' scripts share

import latency  # noqa: E402
import results  # noqa: E402
from execution import SYSTEMS, execute  # noqa: E402
from results import Run, planned  # noqa: E402
from sets import SETS, prepare  # noqa: E402
from tables import tables  # noqa: E402


def main() -> None:
    """Run a command."""
    arguments = _arguments()
    if arguments.command == "run":
        run = Run(**{field.name: getattr(arguments, field.name) for field in fields(Run)})
        execute(run, arguments.data, arguments.weights, arguments.work, arguments.again)
    elif arguments.command == "todo":
        _print_missing()
    elif arguments.command == "table":
        print("\n\n".join(tables(results.read())))
    else:
        image = next(iter(sorted((prepare("camvid", 0, arguments.data, arguments.work) / "test").iterdir())))
        if arguments.bundles:
            latency.measure(arguments.bundles, image, arguments.precision_dtype)
        if found := latency.points(results.read()):
            print(latency.table(found))
            if arguments.plot:
                latency.plot(found, latency.PLOT)


def _print_missing() -> None:
    done = results.read()
    missing = [run for run in planned(done) if run not in done]
    for run in missing:
        print(run.command)
    print(f"# {len(missing)} runs, {sum(run.minutes for run in missing) / 60:.1f} hours of training")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="do one run")
    run.add_argument("--set", choices=SETS, required=True)
    run.add_argument("--system", choices=SYSTEMS, required=True)
    run.add_argument("--name", default="", help="of a variant: a row of an ablation")
    run.add_argument("--options", default="", help="further arguments of the training, in one string")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--fold", type=int, default=0, help="of retina, 0 to 4")
    run.add_argument("--minutes", type=float, default=25)
    run.add_argument("--again", action="store_true", help="also where a result is there")
    shared = ROOT.parent / "shared"
    weights = shared / "weights" / "tf_efficientnet_lite0.in1k.fp16.safetensors"
    run.add_argument("--weights", type=Path, default=weights, help="timm's tf_efficientnet_lite0 (%(default)s)")
    commands.add_parser("todo", help="print the runs that are missing")
    commands.add_parser("table", help="print the results as Markdown")
    timing = commands.add_parser("latency", help="measure models")
    timing.add_argument("bundles", type=Path, nargs="*", help="models of runs; without any, the table alone is printed")
    timing.add_argument("--precision-dtype", default="float32", choices=("float32", "bfloat16", "auto"))
    timing.add_argument("--plot", action="store_true", help=f"draw {latency.PLOT.name}")
    for command in (run, timing):
        command.add_argument("--data", type=Path, default=shared / "data", help="camvid, retina, nuclei (%(default)s)")
        command.add_argument("--work", type=Path, default=Path("/tmp/quality"), help="(%(default)s)")
    arguments = parser.parse_args()
    if arguments.command == "run" and not 0 <= arguments.fold < SETS[arguments.set].folds:
        parser.error(f"{arguments.set} has {SETS[arguments.set].folds} folds, counted from 0")
    if arguments.command == "run" and arguments.options and not arguments.name:
        parser.error("--options makes a variant: give it a --name")
    return arguments


if __name__ == "__main__":
    main()
