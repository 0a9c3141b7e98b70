"""One run: training within its time, masks of validation and test images, their scores as a line of results.jsonl."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import results
from results import OURS, Run
from sets import SETS, prepare, score

HERE = Path(__file__).parent
PEERS = {
    "smp-unet": ("smp", "peer_smp.py", ("--decoder", "Unet")),
    "smp-deeplabv3plus": ("smp", "peer_smp.py", ("--decoder", "DeepLabV3Plus")),
    "torchvision": ("torchvision", "peer_torchvision.py", ()),
    "ultralytics": ("ultralytics", "peer_ultralytics.py", ()),
    "nnunet": ("nnunet", "peer_nnunet.py", ()),
}
"""System -> its environment, script and arguments."""
SYSTEMS = (OURS, *PEERS)


def execute(run: Run, source: Path, weights: Path, work: Path, again: bool = False) -> None:
    """Do a run, unless its result is there. What was trained before an interruption is not trained again."""
    if run in results.read() and not again:
        print(f"{run.key}: the result is there; --again repeats it")
        return
    data, folder = prepare(run.set, run.fold, source, work), work / "runs" / run.key
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    trained = folder / "trained.json"
    if not trained.exists():
        trained.write_text(json.dumps(_train(run, data, folder, weights, work)))
    scores = {}
    for split in ("validation", "test"):
        _call(_prediction(run, data, folder, split, work), folder / f"{split}.log")
        scores[split] = score(run.set, data, split, folder / split)
    line = {**json.loads(trained.read_text()), **scores}
    results.append(run, line)
    title = SETS[run.set].headline
    print(f"{run.key}: test {title} {results.headline(run.set, scores['test']):.4f} after {line['seconds']:.0f} s")


def _train(run: Run, data: Path, folder: Path, weights: Path, work: Path) -> dict[str, Any]:
    """Train into an empty folder; return what a result says of it. Raises SystemExit if nothing was learnt."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    facts = {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", "commit": commit(), **machine()}
    start = time.monotonic()
    # A training that does not keep to its time must not hold up the others.
    _call(_training(run, data, folder, weights, work), folder / "train.log", limit=120 * run.minutes + 600)
    facts["seconds"] = round(time.monotonic() - start, 1)
    if run.system == OURS:
        epochs = (folder / "model" / "metrics.jsonl").read_text().splitlines()
        facts["updates"] = json.loads(epochs[-1])["updates"]
        facts["versions"] = {package: version(package) for package in ("torch", "segwright")}
    else:
        result = json.loads((folder / "result.json").read_text())
        facts |= {name: result[name] for name in ("updates", "versions")}
    if not facts["updates"]:
        raise SystemExit(f"{run.key}: the time was over before the first update")
    return facts


def machine() -> dict[str, Any]:
    """What computes."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"processor": processor, "cores": len(os.sched_getaffinity(0))}


def commit() -> str:
    """The state of the project, with `-dirty` where files are changed."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _training(run: Run, data: Path, folder: Path, weights: Path, work: Path) -> list[str]:
    options = shlex.split(run.options)
    if run.system != OURS:
        classes = str(len(SETS[run.set].class_names))
        given = [
            "--weights",
            str(weights),
            "--classes",
            classes,
            "--minutes",
            str(run.minutes),
            "--seed",
            str(run.seed),
        ]
        return [*_peer(run.system, work), "train", str(data), str(folder), *given, *PEERS[run.system][2], *options]
    if "--backbone-weights" not in options:
        options += ["--backbone-weights", str(weights)]
    given = ["--output", str(folder / "model"), "--minutes", f"{run.minutes:g}", "--seed", str(run.seed)]
    return [sys.executable, "-m", "segwright", "train", str(data), *given, "--device", "cpu", *options]


def _prediction(run: Run, data: Path, folder: Path, split: str, work: Path) -> list[str]:
    if run.system != OURS:
        return [*_peer(run.system, work), "predict", str(data), str(folder), split]
    return [
        *(sys.executable, "-m", "segwright", "predict", str(folder / "model"), str(data / split)),
        *("--output", str(folder / split), "--device", "cpu", "--overwrite"),
    ]


def _peer(system: str, work: Path) -> list[str]:
    environment, script, _ = PEERS[system]
    python = work / "venvs" / environment / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"first: benchmarks/quality/environment.sh {environment} {work / 'venvs' / environment}")
    return [str(python), str(HERE / script)]


def _call(command: list[str], log: Path, limit: float | None = None) -> None:
    """Run a program; its output is shown and kept in `log`. Raises SystemExit when it fails, or ends at the limit."""
    print(shlex.join(command), flush=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    watchdog = threading.Timer(limit or threading.TIMEOUT_MAX, process.kill)
    watchdog.daemon = True
    watchdog.start()
    assert process.stdout is not None
    try:
        with log.open("w") as file:
            for text in process.stdout:
                print(f"  {text.rstrip()}", flush=True)
                file.write(text)
                file.flush()
        if process.wait():
            raise SystemExit(f"exit status {process.returncode}; see {log}")
    finally:
        watchdog.cancel()
        process.kill()
