"""The trials of a search as one table, as Markdown, CSV and LaTeX, and how each optimizer learned, as one picture."""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search import branches
from search.about import About
from search.endings import State
from search.front import cells, covered, front, in_words
from search.parameters import Branch, Choice
from search.plan import Plan
from search.progress import score_text, short
from search.sealed import wilson
from search.space import Space
from search.trials import Trial, Trials
from trainables.cost import Cost, cost

REPEATS = ("seed",)  # trials that differ in nothing else are one row
COMPARED = ("architecture", "image_size", "optimizer", "batch_size")  # what a table of networks is usually laid out by
FILES = ("table.md", "table.csv", "table.tex", "comparison.md", "comparison.csv", "comparison.tex", "optimizers.png")


@dataclass(frozen=True)
class Row:
    """Trials with the same parameters. ``score`` is their mean, ``interval`` its 95 % interval where there is one."""

    params: tuple[Any, ...]
    trials: int
    epochs: float
    score: float
    interval: tuple[float, float] | None
    parameters: int
    macs: int
    seconds: float | None

    def cells(self) -> tuple[Any, ...]:
        low, high = self.interval or (None, None)
        return (*self.params, self.trials, self.epochs, self.score, low, high, self.parameters, self.macs, self.seconds)


def headings(names: Sequence[str], metric: str) -> tuple[str, ...]:
    return (*names, "trials", "epochs", metric, "low", "high", "parameters", "macs", "seconds_per_epoch")


def write_table(plan: Plan, folder: Path, trials: Trials) -> list[Path]:
    """Write tables and picture of ``trials`` into ``folder``; return the files that there are then.

    ``table`` has a row for each set of parameters, ``comparison`` one for each set of those that `compared` names.
    """
    about, searched = plan.about, plan.space.searched
    names = [name for name in searched if name not in REPEATS]
    write_files(folder / "table", rows(about, trials, trials.ranked(), names), names, about, trials.metric)
    names = compared(plan.space)
    write_files(folder / "comparison", rows(about, trials, trials.ended(State.COMPLETE), names), names, about, trials.metric)
    with (folder / "table.md").open("a", encoding="utf-8") as file:
        file.write(front_markdown(plan, trials))
    if "optimizer" in plan.space.parameters:
        draw_optimizers(folder / "optimizers.png", plan.space, trials)
    return [folder / name for name in FILES if (folder / name).exists()]


def compared(space: Space) -> list[str]:
    """Return what trials are compared by: `COMPARED`, each with what is chosen under its values, as momentum under sgd."""
    places = list(branches.occurrences(space.trunk))
    left_out = {*REPEATS, *(name for name, parameter, _ in places if not isinstance(parameter, Choice))}
    found = {}
    for column in (name for name in COMPARED if name in space.searched):
        inner = [name for name, _, under in places if any(step.startswith(f"{column}=") for step in under)]
        found |= dict.fromkeys((column, *(name for name in inner if name not in left_out)))
    return list(found)


def write_files(path: Path, found: Sequence[Row], names: Sequence[str], about: About, metric: str) -> None:
    """Write a table as ``path`` with the suffixes .md, .csv and .tex."""
    path.with_suffix(".md").write_text(markdown(found, names, about, metric), encoding="utf-8")
    path.with_suffix(".tex").write_text(latex(found, names, metric), encoding="utf-8")
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([headings(names, metric), *(row.cells() for row in found)])


def rows(about: About, trials: Trials, chosen: Iterable[Trial], names: Sequence[str]) -> list[Row]:
    """Return a row for each set of the parameters ``names`` among the ``chosen`` of ``trials``, which have scores.

    Those whose trials all ended come first, then it is by score.
    """
    groups: dict[tuple[Any, ...], list[Trial]] = defaultdict(list)
    for trial in chosen:
        groups[tuple(trial.params.get(name) for name in names)].append(trial)
    sign = -1 if trials.mode == "max" else 1
    stopped = {params: any(trial.ending.state is not State.COMPLETE for trial in group) for params, group in groups.items()}
    made = [row_of(about, params, group, trials.metric) for params, group in groups.items()]
    return sorted(made, key=lambda row: (stopped[row.params], -row.epochs if stopped[row.params] else 0, sign * row.score))


def row_of(about: About, params: tuple[Any, ...], group: list[Trial], metric: str) -> Row:
    scores, network = [trial.ending.value for trial in group], cost_of(about, group[0])
    seconds = [row["seconds"] for trial in group for row in trial.rows if "seconds" in row]
    return Row(
        params, len(group), statistics.fmean(trial.epoch for trial in group), statistics.fmean(scores),
        interval(scores, metric, about.val), network.params, network.thop_macs,
        statistics.median(seconds) if seconds else None,
    )


def cost_of(about: About, trial: Trial) -> Cost:
    """Return what the network of ``trial`` costs."""
    config, target = trial.config, about.target
    return cost(config.architecture, about.channels, target.outputs, config.image_size, maps=target.maps, **config.options())


def interval(scores: Sequence[float], metric: str, rows: int) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean over seeds; of one accuracy, that of its ``rows``; else None."""
    if len(scores) > 1:
        return student(scores)
    return wilson(round(scores[0] * rows), rows) if metric == "accuracy" else None


def student(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of two ``values`` or more, by Student's t distribution (Biometrika 6, 1908)."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values) - half, statistics.fmean(values) + half


def markdown(found: Iterable[Row], names: Sequence[str], about: About, metric: str) -> str:
    """Return the table for people, with a line on how to read it."""
    heads = headings_in_words(names, metric)
    lines = [heads, ["---"] * len(heads), *(texts(row) for row in found)]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", note(about)]) + "\n"


def latex(found: Iterable[Row], names: Sequence[str], metric: str) -> str:
    """Return the table for a paper; it needs the package booktabs."""
    from pandas import DataFrame

    return DataFrame(map(texts, found), columns=headings_in_words(names, metric)).to_latex(index=False, escape=True)


def headings_in_words(names: Sequence[str], metric: str) -> list[str]:
    return [*names, "trials", "epochs", metric, "95 % interval", "parameters", "MACs", "s an epoch"]


def note(about: About) -> str:
    """Return how a table is to be read."""
    return (f"Scores are means on the {about.val} validation rows. Interval: Student's t over the trials of a row; "
            "of a single accuracy, Wilson's over the rows. MACs as thop counts them. Seconds: the median.")


def front_markdown(plan: Plan, trials: Trials) -> str:
    """Return the front of several objectives as a table of its own, empty where there is none."""
    volume = covered(plan, trials)
    if volume is None:
        return ""
    heads, *found = cells([asdict(point) for point in front(trials)])
    lines = (f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *found))
    said = f"Finished trials that no other one beats in all objectives together; {in_words(asdict(volume))}."
    return "\n".join(["", *lines, "", said]) + "\n"


def texts(row: Row) -> list[str]:
    """Return a row's cells in words; what does not apply is a dash."""
    between = " to ".join(map(score_text, row.interval)) if row.interval else "-"
    params = ["-" if value is None else short(value) for value in row.params]
    seconds = "-" if row.seconds is None else f"{row.seconds:.3g}"
    numbers = [str(row.trials), f"{row.epochs:g}", score_text(row.score), between, f"{row.parameters:,}", f"{row.macs:,}"]
    return [*params, *numbers, seconds]


def optimizer_curves(space: Space, trials: Trials) -> dict[str, tuple[int, list[float]]]:
    """Return for each optimizer the number of its trials that ran to their end, and their mean score after each epoch.

    Trials of different lengths count up to the end of the shortest.
    """
    groups: dict[str, list[list[float]]] = defaultdict(list)
    for trial in trials.ended(State.COMPLETE):
        groups[line_of(space, trial)].append([row[trials.metric] for row in trial.rows])
    return {name: (len(curves), [statistics.fmean(scores) for scores in zip(*curves)]) for name, curves in sorted(groups.items())}


def line_of(space: Space, trial: Trial) -> str:
    """Return what the picture calls a trial's optimizer: with the values that were chosen for it alone, such as a momentum."""
    optimizer = trial.config.optimizer
    own = space.parameters["optimizer"].branches.get(optimizer, Branch()).parameters
    chosen = (f"{name} {short(trial.params[name])}" for name, parameter in own.items() if isinstance(parameter, Choice))
    return ", ".join([optimizer, *chosen])


def draw_optimizers(path: Path, space: Space, trials: Trials) -> None:
    """Draw a line for each optimizer into the PNG ``path``; nothing where no trial ran to its end."""
    from matplotlib.figure import Figure

    curves = optimizer_curves(space, trials)
    if not curves:
        return
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, (count, scores) in curves.items():
        axes.plot(range(1, len(scores) + 1), scores, label=f"{name} ({count} trials)", marker="." if len(scores) < 30 else None)
    axes.set(xlabel="epoch", ylabel=f"{trials.metric} on the validation rows, mean of trials", title="Optimizers")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
