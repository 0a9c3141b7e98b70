"""Milliseconds for a CamVid image on this machine's cores, beside test mean IoU: which models are worth their time."""

import importlib
import json
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from execution import commit, machine
from results import Line, Run
from segwright.inference.model import Model, load
from segwright.resources import available_cores, keep_freed_memory
from tables import markdown

LATENCIES = Path(__file__).with_name("latency.jsonl")
PLOT = Path(__file__).with_name("frontier.png")
ROUNDS, WARM_UP = 20, 3
INK, FAINT, OURS, OTHERS = "#222222", "#8a8a8a", "#0072b2", "#d55e00"


def measure(bundles: list[Path], image: Path, precision: str) -> None:
    """Time bundles (WORK/runs/KEY/model) in turns, in this process, on one image; append a line for each."""
    keep_freed_memory()
    pixels = np.array(Image.open(image).convert("RGB"))
    models = {bundle: load(bundle, "cpu", precision) for bundle in bundles}
    times: dict[Path, list[float]] = {bundle: [] for bundle in bundles}
    for turn in range(-WARM_UP, ROUNDS):
        for bundle, model in models.items():
            start = time.perf_counter()
            model.mask(pixels)
            if turn >= 0:
                times[bundle].append(1000 * (time.perf_counter() - start))
    with LATENCIES.open("a") as file:
        for bundle, values in times.items():
            line = {
                "key": bundle.resolve().parent.name,
                "precision": precision,
                "milliseconds": round(statistics.median(values), 1),
                "quartiles": [round(value, 1) for value in statistics.quantiles(values, n=4)[::2]],
                "size": [pixels.shape[1], pixels.shape[0]],
                "parameters": parameters(models[bundle]),
                "threads": torch.get_num_threads(),
                "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
                "commit": commit(),
                **machine(),
            }
            file.write(json.dumps(line) + "\n")
            print(f"{line['key']}: {line['milliseconds']} ms, quartiles {line['quartiles']}, {available_cores()} cores")


def parameters(model: Model) -> int:
    """How many weights a network has."""
    return sum(weights.numel() for weights in model.network.parameters())


def points(results: dict[Run, Line]) -> list[dict[str, Any]]:
    """The latest measurement of each model and precision that has a result on CamVid, the fastest first."""
    by_key = {run.key: (run, line) for run, line in results.items() if run.set == "camvid"}
    lines = map(json.loads, LATENCIES.read_text().splitlines() if LATENCIES.exists() else [])
    latest = {(line["key"], line["precision"]): line for line in lines if line["key"] in by_key}
    found = []
    for line in latest.values():
        run, result = by_key[line["key"]]
        mean_iou = result["test"]["all pixels"]["mean_iou"]
        found.append(
            {**line, "label": f"{run.name or run.system}, {run.minutes:g} min", "run": run, "mean_iou": mean_iou}
        )
    found.sort(key=lambda point: point["milliseconds"])
    best = 0.0
    for point in found:
        point["frontier"], best = point["mean_iou"] > best, max(best, point["mean_iou"])
    return found


def table(found: list[dict[str, Any]]) -> str:
    """The points as Markdown; the last column compares with the slowest model."""
    slowest = max(point["milliseconds"] for point in found)
    rows = [
        [
            point["label"],
            f"`{point['run'].options}`" if point["run"].options else "-",
            f"{point['parameters'] / 1e6:.1f}",
            point["precision"],
            f"{point['milliseconds']:.0f}",
            f"{point['mean_iou']:.3f}",
            "yes" if point["frontier"] else "no",
            f"{slowest / point['milliseconds']:.1f}",
        ]
        for point in found
    ]
    titles = [
        "model",
        "options",
        "million weights",
        "precision",
        "ms",
        "test mean IoU",
        "on the frontier",
        "times as fast",
    ]
    return markdown(titles, rows)


def plot(found: list[dict[str, Any]], target: Path) -> None:
    """Draw mean IoU against milliseconds, with a line through the frontier."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    pyplot.rcParams.update({"font.size": 10, "axes.edgecolor": FAINT, "text.color": INK})
    figure, axes = pyplot.subplots(figsize=(8, 4.8), dpi=150, layout="constrained")
    frontier = [point for point in found if point["frontier"]]
    axes.step(*_coordinates(frontier), where="post", color=OURS, linewidth=1.5, alpha=0.6)
    for colour, chosen in ((OURS, frontier), (OTHERS, [point for point in found if not point["frontier"]])):
        axes.scatter(*_coordinates(chosen), color=colour, zorder=3)
    for point in found:
        place = (point["milliseconds"], point["mean_iou"])
        axes.annotate(point["label"], place, xytext=(6, -12), textcoords="offset points", fontsize=8)
    axes.set_xscale("log", subs=())
    axes.xaxis.set_major_locator(importlib.import_module("matplotlib.ticker").LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(f"ms for an image of 480x360, {found[0]['threads']} threads (logarithmic)")
    axes.set_ylabel("test mean IoU")
    axes.set_title("CamVid: quality per millisecond", loc="left", fontsize=13, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.tick_params(color=FAINT)
    figure.savefig(target)


def _coordinates(chosen: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [point["milliseconds"] for point in chosen], [point["mean_iou"] for point in chosen]
