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
    """Systems, the best first; each figure is the mean over seeds and folds, with lowest and highest."""
    columns = dict(_columns(name))
    groups = grouped(chosen, lambda run: run.name and run.system == OURS)
    rows = []
    for label, group in sorted(
        groups.items(), key=lambda item: -_mean(headline(name, line["test"]) for line in item[1].values())
    ):
        lines = list(group.values())
        figures = [spread([pick(line["test"]) for line in lines]) for pick in columns.values()]
        validation = spread([headline(name, line["validation"]) for line in lines])
        updates, seconds = (f"{_mean(line[key] for line in lines):.0f}" for key in ("updates", "seconds"))
        rows.append([label, str(len(lines)), *figures, validation, updates, seconds])
    return markdown(["system", "runs", *columns, f"validation {SETS[name].headline}", "updates", "seconds"], rows)


def _columns(name: str) -> Iterator[tuple[str, Callable[[Line], float]]]:
    """The figures of a set's test."""
    yield SETS[name].headline, lambda scores: headline(name, scores)
    last = SETS[name].class_names[-1]
    if SETS[name].headline != "mean IoU":
        yield "in the field of view", lambda scores: scores["field of view"]["dice"][last]
        yield f"{last} IoU", lambda scores: scores["all pixels"]["iou"][last]
        return
    for entry in SETS[name].class_names:
        yield entry, lambda scores, entry=entry: scores["all pixels"]["iou"][entry]  # type: ignore[misc]


def _ablation(name: str, chosen: Group) -> str:
    """Ours with changes, against ours without on the same seeds and folds."""
    own = {run: line for run, line in chosen.items() if run.system == OURS}
    base = {(run.seed, run.fold): headline(name, line["test"]) for run, line in own.items() if not run.name}
    rows = []
    for label, group in grouped(own, lambda run: not run.name).items():
        values = {(run.seed, run.fold): headline(name, line["test"]) for run, line in group.items()}
        differences = [value - base[key] for key, value in values.items() if key in base]
        options = next(iter(group)).options
        change = f"{_mean(differences):+.4f}" if differences else "-"
        rows.append(
            [label.removeprefix(f"{OURS} "), f"`{options}`", str(len(values)), spread(list(values.values())), change]
        )
    return markdown(["change", "options", "runs", f"test {SETS[name].headline}", "against none"], rows)


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


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)
