"""The plot of the loss curves that compare.py collected.

python benchmarks/gluoncv/plot.py OUTPUT/curves.json OUTPUT/curves.png

Each framework has a band from the lowest to the highest seed and a line, the mean of the seeds; both of losses averaged
over the last 20 steps (fewer at the start). It needs matplotlib, and nothing else beside NumPy.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

AVERAGED = 20
COLOURS = {"GluonCV": "#d55e00", "Segwright": "#0072b2"}  # told apart by colour-blind people too
INK, FAINT = "#222222", "#8a8a8a"


def main() -> None:
    """Draw one file."""
    source, target = map(Path, sys.argv[1:])
    content = json.loads(source.read_text())
    curves = {framework: list(by_seed.values()) for framework, by_seed in content["curves"].items() if by_seed}
    draw(curves, content["setup"], target)


def draw(curves: dict[str, list[list[float]]], setup: dict[str, Any], target: Path) -> None:
    """Draw a band and a line for each framework into a PNG."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    pyplot.rcParams.update({"font.size": 10, "axes.edgecolor": FAINT, "text.color": INK})
    figure, axes = pyplot.subplots(figsize=(8, 4.8), dpi=150, layout="constrained")
    for framework, losses in curves.items():
        smooth = np.stack([moving_average(np.array(each), AVERAGED) for each in losses])
        steps, colour = np.arange(1, smooth.shape[1] + 1), COLOURS[framework]
        axes.fill_between(steps, smooth.min(0), smooth.max(0), color=colour, alpha=0.22, linewidth=0)
        axes.plot(steps, smooth.mean(0), color=colour, linewidth=2, label=f"{framework}, {len(losses)} seeds")
    axes.set_title("Training loss on CamVid from equal weights", loc="left", fontsize=13, fontweight="bold", pad=24)
    axes.text(0, 1.025, subtitle(setup), transform=axes.transAxes, color=FAINT, fontsize=9)
    axes.set_xlabel(f"step (losses averaged over the last {AVERAGED}; bands: lowest to highest seed)")
    axes.set_ylabel("loss, main + 0.5 auxiliary")
    axes.set_xlim(1, setup["steps"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.tick_params(color=FAINT)
    axes.legend(frameon=False)
    figure.savefig(target)


def moving_average(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of each value and the ones before it, up to `width` of them."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def subtitle(setup: dict[str, Any]) -> str:
    """What was trained, in a line."""
    sizes = f"crop {setup['crop_size']}, base {setup['base_size']}, batch {setup['batch']}"
    return f"FCN ResNet-50, {sizes}, SGD with learning rate {setup['learning_rate']:g}, poly"


if __name__ == "__main__":
    main()
