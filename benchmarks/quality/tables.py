"""Results as Markdown."""

import statistics
from collections.abc import Callable, Iterable, Iterator

from results import OURS, Line, Run, headline
from sets import SETS

Group = dict[Run, Line]


def tables(results: dict[Run, Line]) -> Iterator[str]:
    """A table for each set and time, and one for each ablation in it."""
    for name, minutes in sorted({(run.set, run.minutes) for run in results}):
        chosen = {run: line for run, line in results.items() if (run.set, run.minutes) == (name, minutes)}
        yield f"**{name}, {minutes:g} minutes**\n\n{_comparison(name, chosen)}"
        if any(run.name for run in chosen if run.system == OURS):
            yield f"**{name}, {minutes:g} minutes: ablation**\n\n{_ablation(name, chosen)}"


def _comparison(name: str, chosen: Group) -> str:
    """Systems, the best first; figures are means over seeds and folds, the first with lowest and highest."""
    title, columns = SETS[name].headline, dict(_columns(name))
    groups = grouped(chosen, lambda run: run.name and run.system == OURS)
    rows = []
    for label, group in groups.items():
        lines = list(group.values())
        test, validation = ([headline(name, line[split]) for line in lines] for split in ("test", "validation"))
        means = [_mean([pick(line["test"]) for line in lines]) for pick in columns.values()]
        updates, seconds = (f"{_mean([line[key] for line in lines]):.0f}" for key in ("updates", "seconds"))
        figures = [spread(test), *(f"{mean:.3f}" for mean in means), spread(validation)]
        rows.append((_mean(test), [label, str(len(lines)), *figures, updates, seconds]))
    ranked = [row for _, row in sorted(rows, key=lambda row: row[0], reverse=True)]
    return markdown(["system", "runs", f"test {title}", *columns, f"validation {title}", "updates", "seconds"], ranked)


def _columns(name: str) -> Iterator[tuple[str, Callable[[Line], float]]]:
    """Further figures of a set's test: the IoU of each class, and Dice in the field of view."""
    classes = SETS[name].class_names
    if name == "retina":
        yield f"{classes[-1]} Dice in the field of view", lambda scores: scores["field of view"]["dice"][classes[-1]]
    for entry in classes:
        yield entry, lambda scores, entry=entry: scores["all pixels"]["iou"][entry]  # type: ignore[misc]


def _ablation(name: str, chosen: Group) -> str:
    """Ours with changes, against ours without on the same seeds and folds, on both splits: validation decides."""
    own = {run: line for run, line in chosen.items() if run.system == OURS}
    base = {(run.seed, run.fold): line for run, line in own.items() if not run.name}
    rows = []
    for label, group in grouped(own, lambda _run: False).items():
        cells = [
            label.removeprefix(OURS).strip() or "none",
            f"`{next(iter(group)).options}`" if label != OURS else "-",
            str(len(group)),
        ]
        for split in ("validation", "test"):
            values = {(run.seed, run.fold): headline(name, line[split]) for run, line in group.items()}
            changes = [value - headline(name, base[key][split]) for key, value in values.items() if key in base]
            cells += [spread(list(values.values())), f"{_mean(changes):+.4f}" if changes else "-"]
        rows.append(cells)
    title = SETS[name].headline
    return markdown(
        ["change", "options", "runs", f"validation {title}", "against none", f"test {title}", "against none"], rows
    )


def grouped(chosen: Group, left_out: Callable[[Run], object]) -> dict[str, Group]:
    """Runs that differ in seed and fold only, by system and name."""
    groups: dict[str, Group] = {}
    for run, line in chosen.items():
        if not left_out(run):
            groups.setdefault(f"{run.system} {run.name}".strip(), {})[run] = line
    return groups


def spread(values: list[float]) -> str:
    """The mean, and lowest and highest of several."""
    mean = f"{_mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f}-{max(values):.3f})"


def markdown(titles: list[str], rows: Iterable[list[str]]) -> str:
    """A table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean(values: list[float]) -> float:
    return statistics.fmean(values)
