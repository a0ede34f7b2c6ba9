"""The figures of a report, as Plotly draws them; what is in them comes from `facts` alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from search.endings import State
from search.parameters import Float
from search.progress import short
from search.report import facts as known
from search.report.facts import Facts, Priced
from search.report.importance import importances, quiet, scored, study_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLOURS = {State.COMPLETE: "#2563eb", State.PRUNED: "#94a3b8", State.FAILED: "#dc2626", known.RUNNING: "#0d9488"}
WORDS = {State.COMPLETE: "complete", State.PRUNED: "stopped early", State.FAILED: "failed", known.RUNNING: "running"}
LOG = {"type": "log", "dtick": "D2"}  # of which 1, 2 and 5 of every decade are named
BEST, INK, GRID = "#ea580c", "#334155", "#e2e8f0"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def figure(traces: Sequence[dict[str, Any]], x: str = "", y: str = "", **layout: Any) -> Figure:
    """Return a figure in the page's style, with names on its axes. Texts of the user's must be escaped: Plotly reads HTML."""
    from plotly.graph_objects import Figure

    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True, "linecolor": GRID, "title": {"font": {"size": 13}}}
    return Figure(traces).update_layout(
        template="none", font={"family": FONT, "size": 13, "color": INK}, dragmode=False, hovermode="closest",
        margin={"l": 8, "r": 12, "t": 28, "b": 8}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        xaxis=axis, yaxis=axis, xaxis_title_text=x, yaxis_title_text=y,
    ).update_layout(**layout)


def scatter(x: Sequence[Any], y: Sequence[Any], name: str, **more: Any) -> dict[str, Any]:
    return {"type": "scatter", "x": list(x), "y": list(y), "name": name, **more}


def by_state(points: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """Return things that have a state, by state in the order of `COLOURS`."""
    return [(state, found) for state in COLOURS if (found := [point for point in points if point.state == state])]


def marked(state: str, x: Sequence[Any], y: Sequence[Any], trials: Sequence[int]) -> dict[str, Any]:
    """Return a point a trial, in the colour of how it ended."""
    return scatter(x, y, WORDS[state], mode="markers", marker={"color": COLOURS[state], "size": 8},
                   customdata=list(trials), hovertemplate="trial %{customdata}: %{y:.4g}<extra>%{x:.4g}</extra>")


def best_over_time(facts: Facts) -> Figure:
    """Return each trial's value at the time of its end, below or above the line of the best finished one so far."""
    ended = known.best_over_time(facts)
    valued = [one for one in ended if one.value is not None]
    points = [marked(state, [one.minutes for one in group], [one.value for one in group], [one.trial for one in group])
              for state, group in by_state(valued)]
    held = [one for one in ended if one.best is not None]
    line = scatter([one.minutes for one in held], [one.best for one in held], "best finished", mode="lines",
                   line={"shape": "hv", "color": BEST, "width": 2.5}, hovertemplate="best %{y:.4g}<extra></extra>")
    return figure([*points, line], "minutes since the start", escape(facts.metric)).update_xaxes(rangemode="tozero")


def curves(facts: Facts) -> Figure:
    """Return the curve of every trial, stopped ones ending where they were stopped, and the rungs as dotted lines."""
    traces = []
    for state in COLOURS:
        x, y, trials = [], [], []
        for trial in (trial for trial in facts.trials if known.state_of(trial) == state and trial is not facts.chosen):
            epochs, values = known.curve(facts, trial)
            x, y = [*x, *epochs, None], [*y, *values, None]
            trials += [trial.number] * (len(epochs) + 1)
        if any(value is not None for value in y):
            traces.append(line_of(WORDS[state], COLOURS[state], x, y, trials, 1.2))
    if facts.chosen:
        epochs, values = known.curve(facts, facts.chosen)
        number = facts.chosen.number
        traces.append(line_of(f"the best, trial {number}", BEST, epochs, values, [number] * len(epochs), 3))
    drawn = figure(traces, "epoch", escape(facts.metric))
    for rung in facts.rungs:
        drawn.add_vline(rung, line={"color": INK, "width": 1, "dash": "dot"})
    return drawn


def line_of(name: str, colour: str, x: Sequence[Any], y: Sequence[Any], trials: Sequence[int], width: float) -> dict[str, Any]:
    return scatter(x, y, name, mode="lines+markers", line={"color": colour, "width": width}, marker={"size": 3 + width},
                   customdata=list(trials), hovertemplate="trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>")


def timeline(facts: Facts) -> Figure:
    """Return when each trial ran."""
    spans = known.spans(facts)
    bars = [
        {"type": "bar", "orientation": "h", "name": WORDS[state], "marker": {"color": COLOURS[state]}, "width": 0.8,
         "base": [first for _, one, first, _ in spans if one == state],
         "x": [last - first for _, one, first, last in spans if one == state],
         "y": [number for number, one, *_ in spans if one == state],
         "hovertemplate": "trial %{y}: %{x:.2f} minutes<extra></extra>"}
        for state in COLOURS if any(one == state for _, one, *_ in spans)
    ]
    drawn = figure(bars, "minutes since the start", "trial", barmode="overlay").update_xaxes(rangemode="tozero")
    return drawn.update_yaxes(dtick=max(1, len(spans) // 10))


def importance(facts: Facts) -> list[tuple[str, Figure]]:
    """Return a figure for all trials and one for each branch, with the words that stand above it."""
    drawn = []
    for part, shares in importances(facts):
        names = list(shares)[::-1]
        bar = {"type": "bar", "orientation": "h", "x": [shares[name] for name in names], "y": [escape(name) for name in names],
               "marker": {"color": COLOURS[State.COMPLETE]}, "hovertemplate": "%{y}: %{x:.2f}<extra></extra>"}
        where = f"{len(part.trials)} trials" + (f" with {part.under}" if part.under else "")
        drawn.append((f"{where}, {part.when}", figure([bar], "share of the importance")))
    return drawn


def parallel(facts: Facts) -> Figure | None:
    """Return Optuna's parallel coordinates of every trial that has a value, None for fewer than two."""
    part = scored(facts)
    if len(part.trials) < 2:
        return None
    from optuna.visualization import plot_parallel_coordinate

    with quiet():
        drawn = plot_parallel_coordinate(study_of(facts, part.trials, part.values), target_name=facts.metric)
    return drawn.update_layout(title=None, template="none", font={"family": FONT, "size": 12, "color": INK}, dragmode=False,
                               margin={"l": 48, "r": 12, "t": 24, "b": 90}, paper_bgcolor="rgba(0,0,0,0)")


def slices(facts: Facts) -> list[tuple[str, Figure]]:
    """Return for each searched parameter the last value of every trial over it."""
    drawn = []
    for name in facts.space.searched:
        trials = [trial for trial in facts.trials if name in trial.params and known.last_value(facts, trial) is not None]
        groups = [(state, [trial for trial in trials if known.state_of(trial) == state]) for state in COLOURS]
        traces = [marked(state, [place(trial.params[name]) for trial in group],
                         [known.last_value(facts, trial) for trial in group], [trial.number for trial in group])
                  for state, group in groups if group]
        if traces:
            kind = {} if is_number(trials[0].params[name]) else {"type": "category"}
            scale = {**LOG, "exponentformat": "power"} if is_log(facts, name) else kind
            drawn.append((name, figure(traces, escape(name), escape(facts.metric)).update_xaxes(**scale)))
    return drawn


def place(value: Any) -> Any:
    """Return where a value stands on an axis: a number as it is, anything else under its name."""
    return value if is_number(value) else escape(short(value))


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_log(facts: Facts, name: str) -> bool:
    return any(isinstance(form, Float) and form.log for (form,) in facts.space.forms(name))


def price(facts: Facts, points: Sequence[Priced], cost: str, words: str) -> Figure:
    """Return values over a cost, with the front of finished trials that no other beats in both."""
    found = known.front(facts, points, cost)
    traces = [marked(state, [getattr(point, cost) for point in group], [point.value for point in group],
                     [point.trial for point in group]) for state, group in by_state(points)]
    line = scatter([getattr(point, cost) for point in found], [point.value for point in found], "front", mode="lines",
                   line={"shape": "hv", "color": BEST, "width": 2}, customdata=[point.trial for point in found],
                   hovertemplate="trial %{customdata}: %{y:.4g}<extra></extra>")
    return figure([*traces, line], words, escape(facts.metric)).update_xaxes(**LOG)


def ratio(facts: Facts) -> Figure:
    """Return the finished trials over the share of the pool that they trained on, and the means."""
    levels = known.levels(facts, "split_ratio")
    finished = facts.trials.ended(State.COMPLETE)
    points = marked(State.COMPLETE, [trial.config.split_ratio for trial in finished],
                    [trial.ending.value for trial in finished], [trial.number for trial in finished])
    means = scatter([level.value for level in levels], [level.mean for level in levels], "mean", mode="lines+markers",
                    line={"color": BEST, "width": 2.5}, hovertemplate="mean %{y:.4g}<extra></extra>")
    return figure([points, means], "split_ratio: share of the pool that was trained on", escape(facts.metric))


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Figure:
    """Return how often each true class was taken for each, shaded by its share of the true class."""
    names = [escape(name) for name in classes]
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    heat = {"type": "heatmap", "x": names, "y": names, "z": shares, "text": [list(row) for row in counts], "zmin": 0, "zmax": 1,
            "texttemplate": "%{text}", "colorscale": [[0, "#f8fafc"], [1, "#2563eb"]], "showscale": False, "xgap": 2, "ygap": 2,
            "hovertemplate": "%{y} taken for %{x}: %{text}<extra></extra>"}
    drawn = figure([heat], "predicted", "true").update_xaxes(type="category", showgrid=False)
    return drawn.update_yaxes(type="category", autorange="reversed", showgrid=False)


def bars(names: Sequence[str], values: Sequence[float | None], words: str) -> Figure:
    """Return a bar for each class or point."""
    bar = {"type": "bar", "x": [escape(name) for name in names], "y": list(values), "marker": {"color": COLOURS[State.COMPLETE]},
           "hovertemplate": "%{x}: %{y:.4g}<extra></extra>"}
    return figure([bar], "", words).update_xaxes(type="category")
