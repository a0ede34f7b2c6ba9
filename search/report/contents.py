"""What stands in a report, section by section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from search import front, meter
from search.endings import State
from search.models import command
from search.progress import clock_text, score_text, short
from search.redact import redacted
from search.report import facts as known
from search.report import figures
from search.report.answer import count
from search.report.facts import Facts
from search.report.page import NONE, Drawn, Gallery, Section, Table, Tile
from search.report.pictures import gallery
from search.sealed import wilson
from search.table import cost_of, headings_in_words, note, texts
from search.views import STOPS, amount
from trainables.data import Catalog, Split
from trainables.errors import BadInput

FOLDED = 12  # rows from which a table is opened by a click
SHOWN = 10  # groups of copies with different labels that are named
Data = tuple[Catalog, Split]


def tiles(facts: Facts) -> list[Tile]:
    """Return the figures at the head of the page."""
    summary, counts = facts.summary, facts.trials.counts()
    states = f"{counts['COMPLETE']} complete, {counts['PRUNED']} stopped early, {counts['FAILED']} failed"
    found = [Tile(str(len(facts.trials)), f"trials: {states}"), Tile(clock_text(facts.seconds), ended_by(facts))]
    if facts.chosen is None:
        return found
    low, high = summary["test_interval"]
    network = cost_of(facts.about, facts.chosen)
    return [
        Tile(score_text(summary["test"]), f"{facts.metric} on {summary['test_rows']} sealed images; 95 % interval "
                                          f"{score_text(low)} to {score_text(high)} ({summary['interval_method']})"),
        Tile(score_text(summary["val"]), "on the validation rows, as the best of all trials: it flatters"),
        *found,
        Tile(count(network.params), "parameters of the best"),
        Tile(count(network.thop_macs), "multiply-accumulates an image"),
    ]


def ended_by(facts: Facts) -> str:
    stop = facts.summary.get("ended_by")
    return f"minutes and seconds; {STOPS[stop]}" if stop else "minutes and seconds so far"


def sections(facts: Facts, folder: Path, data: Data | None, missing: str) -> Iterator[Section]:
    """Yield every section; one that has nothing to show for this search is empty. ``missing`` says why there is no data."""
    yield sealed(facts)
    yield mistakes(facts, folder, data, missing)
    yield worth(facts)
    yield course(facts)
    yield parameters(facts)
    yield costs(facts)
    yield more_images(facts)
    yield early_epochs(facts)
    yield ends(facts)
    yield every_trial(facts)
    yield the_data(facts, data)
    yield again(facts)


def sealed(facts: Facts) -> Section:
    """Return what the sealed rows say of the best model: class by class, or point by point."""
    details, drawn, tables = facts.summary.get("details", {}), [], []
    if "confusion" in details:
        classes, counts = details["classes"], details["confusion"]
        unit = "pixels" if facts.about.task == "segmentation" else "images"
        height = 160 + 34 * len(classes)
        drawn.append(Drawn("confusion", figures.confusion(classes, counts), f"Sealed {unit}: what each class was taken for",
                           height=max(300, height)))
        tables.append(by_class(facts, classes, counts, details.get("iou")))
    if "normalised_distance" in details:
        drawn.append(Drawn("points", figures.bars(details["points"], details["normalised_distance"],
                                                  "mean distance, share of the side"), "Sealed images: the error of each point"))
        rows = [[name, str(seen), NONE if share is None else f"{share:.2%}"] for name, seen, share in
                zip(details["points"], details["seen"], details["normalised_distance"], strict=True)]
        tables.append(Table("points", ["point", "images", "mean distance, share of the side"], rows, "Point by point",
                            folded=len(rows) > FOLDED))
    return Section("sealed", "How good it is, class by class" if "confusion" in details else "How good it is, point by point",
                   figures=drawn, tables=tables)


def by_class(facts: Facts, classes: list[str], counts: list[list[int]], ious: dict[str, float | None] | None) -> Table:
    """Return for each class how much of it was found, and how much of what was taken for it is right."""
    rows = []
    for index, (name, row) in enumerate(zip(classes, counts, strict=True)):
        hits, there, taken = row[index], sum(row), sum(line[index] for line in counts)
        cells = [name, f"{there:,}", f"{hits:,}", share(hits, there), share(hits, taken)]
        if ious is not None:
            cells.append(NONE if ious[name] is None else f"{ious[name]:.1%}")
        elif there:
            low, high = wilson(hits, there)
            cells[3] += f" ({low:.1%} to {high:.1%})"
        rows.append(cells)
    heads = ["class", "there", "found", "share found" if ious else "share found (95 % interval, Wilson)",
             "share right of what was taken for it", *(["IoU"] if ious else [])]
    return Table("classes", heads, rows, "Class by class")


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else NONE


def mistakes(facts: Facts, folder: Path, data: Data | None, missing: str) -> Section:
    """Return the sealed images that the best model does worst on, as far as data and model are there."""
    title = "What it gets wrong"
    if facts.chosen is None:
        return Section("mistakes", title)
    if data is None:
        return Section("mistakes", title, [f"The images cannot be shown: {missing}."])
    try:
        shown = gallery(facts, folder, data)
    except BadInput as problem:
        return Section("mistakes", title, [f"The images cannot be shown: {problem.message}."])
    looked = f"{shown.rows:,} of {facts.about.test:,}" if shown.rows < facts.about.test else f"all {shown.rows:,}"
    if shown.wrong is not None:
        text = f"Looking through {looked} sealed images, the model is wrong on {shown.wrong}."
        return Section("mistakes", title, [text], galleries=[Gallery("The worst mistakes", shown.worst)])
    key = "Green rings are the true points, orange dots the predicted ones. " if facts.about.task == "landmarks" else ""
    return Section("mistakes", title, [f"{key}Chosen by loss among {looked} sealed images."], galleries=[
        Gallery("The worst", shown.worst), Gallery("From the middle", shown.typical)])


def worth(facts: Facts) -> Section:
    """Return what the finish came to: the baseline, the candidates' seeds, what else was scored, and the model's files."""
    summary, text, tables = facts.summary, [], []
    if baseline := summary.get("baseline"):
        gain = baseline["gain"]
        text.append(f"The baseline, trial {baseline['trial']}, has {score_text(baseline['sealed']['value'])} on the same sealed "
                    f"rows: the search gained {amount(gain['value'], facts.metric)} (p = {gain['p']:.2g}, {gain['method']}).")
    if summary.get("optimism") is not None:
        flattery = amount(summary["optimism"], facts.metric)
        text.append(f"Picked as the best of many, its validation score differs from the sealed one by {flattery}.")
    rows = [[str(one["trial"]), str(len(one["values"])), score_text(one["mean"]), ", ".join(map(score_text, one["values"])),
             str(one["failed"])] for one in summary.get("candidates", [])]
    if rows:
        tables.append(Table("candidates", ["trial", "seeds", f"mean {facts.metric}", "each seed, the search's first", "failed"],
                            rows, "The best, trained again from further seeds (validation rows)"))
    rows = [[name, score_text(score["value"]), " to ".join(map(score_text, score["interval"])), score["method"]]
            for name, score in summary.get("extras", {}).items()]
    if rows:
        tables.append(Table("extras", ["model", f"sealed {facts.metric}", "95 % interval", "method"], rows,
                            "Scored beside the model, not registered"))
    rows = [exported(export) for export in summary.get("exports", [])]
    if rows:
        tables.append(Table("exports", ["file", "megabytes", "ms for images at a time", "largest difference from PyTorch"], rows,
                            "The model's files, measured on this machine's CPU"))
    return Section("worth", "Was the search worth it", [*text, *summary.get("notes", [])], tables=tables)


def exported(export: dict[str, Any]) -> list[str]:
    """Return a row on one file of the model."""
    if export["problem"]:
        return [export["file"], NONE, NONE, export["problem"]]
    times = ", ".join(f"{images}: {took:.3g}" for images, took in (export["latency_ms"] or {}).items())
    difference = NONE if export["difference"] is None else f"{export['difference']:.2g}"
    return [export["file"], f"{export['bytes'] / 1e6:.2f}", times or NONE, difference]


def course(facts: Facts) -> Section:
    """Return how the search came to what it found."""
    if not any(trial.rows for trial in facts.trials):
        return Section("course", "How the search went")
    scored = any(known.curve(facts, trial)[0] for trial in facts.trials)
    rungs = f"; dotted lines are the rungs, after epochs {', '.join(map(str, facts.rungs))}" if facts.rungs else ""
    drawn = [
        Drawn("best", figures.best_over_time(facts), "Each trial where it ended, and the best finished one so far"),
        Drawn("curves", figures.curves(facts), f"Every trial, epoch by epoch{rungs}"),
    ] if scored else []
    drawn.append(Drawn("timeline", figures.timeline(facts), "When each trial ran", wide=True,
                       height=min(420, 160 + 12 * len(facts.trials))))
    return Section("course", "How the search went", figures=drawn)


def parameters(facts: Facts) -> Section:
    """Return which parameters mattered, and how the trials lie along each."""
    important = figures.importance(facts)
    parallel = figures.parallel(facts)
    lines = Drawn("parallel", parallel, "Every trial as a line through its parameters", wide=True, least=760, height=420)
    drawn = [lines] if parallel else []
    drawn += [Drawn(f"importance-{number}", figure, words, height=max(280, 90 + 30 * len(figure.data[0].y)))
              for number, (words, figure) in enumerate(important)]
    drawn += [Drawn(f"slice-{name}", figure, name, height=280) for name, figure in figures.slices(facts)]
    text = []
    if important:
        text = ["The share of each parameter in what tells the best trials from the others, by conditional PED-ANOVA; under a "
                "choice that brings parameters of its own, also over the trials with that choice alone. With few trials this "
                "says little."]
    elif drawn:
        text = ["The trials are too few, or too alike, to say which parameters mattered."]
    return Section("parameters", "What mattered", text, drawn)


def costs(facts: Facts) -> Section:
    """Return scores beside costs: the front, and the table of what was compared."""
    points = known.priced(facts)
    if not points:
        return Section("costs", "What it costs")
    drawn = [
        Drawn("macs", figures.price(facts, points, "macs", "multiply-accumulates an image"), "Score and operations"),
        Drawn("parameters", figures.price(facts, points, "parameters", "parameters"), "Score and size"),
    ]
    names, rows = known.comparison(facts)
    tables = []
    if found := facts.summary.get("front"):
        heads, *cells = front.cells(found)
        tables.append(Table("front", heads, cells, "Finished trials that no other beats in all objectives together; "
                                                   + front.in_words(facts.summary["hypervolume"])))
    if rows:
        heads = headings_in_words(names, facts.metric)
        cells = [texts(row) for row in rows]
        tables.append(Table("comparison", heads, cells, "Finished trials compared", len(rows) > 3 * FOLDED))
    text = ["The orange line joins the finished trials that no other finished one beats in both score and cost.",
            f"{note(facts.about)} Parameters and MACs are those of the first trial of a row. The table also stands in "
            "comparison.csv, comparison.md and comparison.tex beside this page's search."] if rows else []
    return Section("costs", "What it costs", text, drawn, tables)


def more_images(facts: Facts) -> Section:
    """Return how the score depends on the share of the pool that was trained on, where that was searched."""
    title = "Would more images help"
    if "split_ratio" not in facts.space.searched or len(known.levels(facts, "split_ratio")) < 2:
        return Section("images", title)
    levels = known.levels(facts, "split_ratio")
    rows = [[f"{level.value:g}", f"{round(level.value * facts.about.pool):,}", str(level.trials), score_text(level.mean),
             " to ".join(map(score_text, level.interval)) if level.interval else NONE] for level in levels]
    heads = ["split_ratio", "images", "finished trials", f"mean {facts.metric}", "95 % interval"]
    return Section("images", title, [in_words(facts)], [Drawn("ratio", figures.ratio(facts))],
                   [Table("ratio", heads, rows)])


def in_words(facts: Facts) -> str:
    """Return what the finished trials say of training on more images."""
    gained = known.gain(facts, "split_ratio")
    if gained is None:
        return "There are too few finished trials to say."
    mean, low, high = gained
    interval = f"95 % interval {low:+.4g} to {high:+.4g}, Welch"
    said = f"Those on the most images differ by {mean:+.4g} from those on the fewest ({interval})"
    if low <= 0 <= high:
        return f"{said}: these trials do not tell, also since they differ in other parameters."
    better = facts.better(mean, 0)
    return f"{said}: more images {'would probably help' if better else 'did not help'}, as far as other parameters allow to say."


def early_epochs(facts: Facts) -> Section:
    """Return the rungs: who came to each, and whether its order was that of the end."""
    found = known.rung_rows(facts)
    if not found:
        return Section("rungs", "Did early epochs tell")
    heads = ["after epoch", "trials", "stopped", "went on", f"best {facts.metric}", "rank correlation with the last epoch"]
    rows = [[str(row.epoch), str(row.reached), str(row.stopped), str(row.passed),
             NONE if row.best is None else score_text(row.best),
             NONE if check.correlation is None else f"{check.correlation:.2f} over {check.trials} trials"]
            for row, check in found]
    text = [f"One trial in {facts.space.schedule.reduction_factor:g} goes on at each rung. A correlation near 1 says that the "
            "order there was that of the end; near 0, that stopping there was guessing."]
    return Section("rungs", "Did early epochs tell", text, tables=[Table("rungs", heads, rows)])


def ends(facts: Facts) -> Section:
    """Return how trials ended and why, and where the time went."""
    rows = [[state, kind or NONE, str(number), redacted(said) or NONE] for state, kind, number, said in known.endings(facts)]
    tables = [Table("endings", ["state", "why", "trials", "first message"], rows, "How trials ended")]
    spent = known.time_spent(facts)
    total = sum(part.seconds for part in spent)
    rows = [[part.state, str(part.trials), str(part.epochs), f"{part.seconds:.1f}",
             f"{part.seconds / total:.0%}" if total else NONE] for part in spent]
    tables.append(Table("time", ["state", "trials", "epochs", "seconds of training", "share"], rows, "Where the time went"))
    machine = f" on {facts.record.machine.describe()}" if facts.record.machine else ""
    memory = known.gpu_memory(facts)
    text = [f"The search took {clock_text(facts.seconds)}{machine}; {known.at_a_time(facts):.2f} trials ran at a time on "
            f"average. Epochs took {total:.0f} s of the trials' own time, validation included."
            + (f" A trial took up to {memory / 2**30:.2f} GiB of a GPU." if memory else ""), taken(facts)]
    title = "How trials ended, and where the time went"
    return Section("ends", title, text, tables=tables) if len(facts.trials) else Section("ends", title)


def taken(facts: Facts) -> str:
    """Return how busy the machine was and what energy that took, as far as its system told."""
    use = meter.total(facts.record.uses)
    if not use.seconds:
        return "How busy the machine was and what energy it took is not known."
    busy = [f"its cores {use.cores / use.of_cores:.0%}"] if use.of_cores else []
    busy += [f"GPU {place} {seconds / use.seconds:.0%}" for place, seconds in enumerate(use.gpus)]
    energy = [f"{joules / 3600:.1f} Wh by its {part}" for part, joules in use.joules.items()]
    unknown = [part for part in ("processor", *(["GPU"] if use.gpus else [])) if part not in use.joules]
    said = [f"Busy on the machine, whoever's work it was: {', '.join(busy)}." if busy else "",
            f"Energy: {', '.join(energy)}." if energy else "",
            f"The energy of its {' and '.join(unknown)} cannot be read here." if unknown else ""]
    return " ".join(filter(None, said))


def every_trial(facts: Facts) -> Section:
    """Return all trials, best first, then those without a score."""
    names = facts.space.searched
    ranked = facts.trials.ranked()
    others = [trial for trial in facts.trials if trial not in ranked]
    rows = []
    for trial in [*ranked, *others]:
        value = known.last_value(facts, trial)
        params = [short(trial.params[name]) if name in trial.params else NONE for name in names]
        rows.append([str(trial.number), known.state_of(trial), str(trial.epoch),
                     NONE if value is None else score_text(value), *params])
    return Section("trials", "Every trial", tables=[
        Table("trials", ["trial", "state", "epochs", facts.metric, *names], rows, f"All {len(rows)} trials, best first",
              folded=len(rows) > FOLDED)] if rows else [])


def the_data(facts: Facts, data: Data | None) -> Section:
    """Return what the images are, how they were split, and what is odd about them."""
    about = facts.about
    width, height, wide, high = about.sizes
    size = f"{width}×{height}" if (width, height) == (wide, high) else f"{width}×{height} to {wide}×{high}"
    rows = [
        ["images", f"{about.rows:,} of {size} pixels, {'grey' if about.channels == 1 else 'colour'}"],
        ["from", f"source {facts.space.data.source}" + (f", {facts.space.data.root}" if facts.space.data.root else "")],
        ["trained on", f"{about.pool:,}, or the share of these that split_ratio says"],
        ["validation", f"{about.val:,}, the same for every trial"], ["sealed", f"{about.test:,}"],
        ["fingerprint", about.fingerprint], ["exact copies", f"{about.duplicates:,}, kept on one side"],
        ["left out", f"{about.dropped:,}, as copies of sealed images"],
        ["label conflicts", f"{about.conflicts:,} groups of copies with different {about.target.noun}"],
        *([name, ", ".join(f"{value} {number}" for value, number in sorted(values.items()))]
          for name, values in about.attributes.items()),
    ]
    tally = [[name, f"{number:,}"] for name, number in about.tally.items()]
    tables = [Table("data", ["", ""], rows), Table("tally", [about.target.noun, "images"], tally, folded=len(tally) > FOLDED,
                                                   words=f"In how many images each of the {about.target.noun} is found")]
    if data and (conflicts := data[1].conflicts):
        named = [[", ".join(data[0].names[row] for row in group.tolist())] for group in conflicts[:SHOWN]]
        tables.append(Table("conflicts", ["copies of one image with different labels"], named))
    return Section("data", "The data", tables=tables)


def again(facts: Facts) -> Section:
    """Return what is needed to do it again: the commands, the space as it was used, code and versions."""
    origin, name = facts.record.origin, facts.record.folder.name
    commands = ["# the same search: save the space file below as space.yaml", "python -m search run space.yaml"]
    if "git_commit" in origin:
        changed = "" if origin["git_clean"] == "true" else "  # with the changes in uncommitted.diff of MLflow's parent run"
        commands.insert(0, f"git checkout {origin['git_commit']}{changed}")
    if facts.chosen:
        commands += ["", "# its model", command(name, facts.space.data.task, "IMAGE")]
    rows = [[key.removeprefix("version_").replace("_", " "), value] for key, value in origin.items()]
    tables = [Table("origin", ["", ""], rows, "Code, versions and system", folded=True)] if rows else []
    if facts.chosen:
        config = [[key, NONE if value is None else str(value)] for key, value in facts.summary["config"].items()]
        tables.append(Table("config", ["parameter", "value"], config, "The whole configuration of the best trial", folded=True))
    used = yaml.safe_dump(given(facts.space.as_dict()), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return Section("again", "Do it again", tables=tables, code=redacted("\n".join(commands) + f"\n\n# space.yaml\n{used}"))


def given(value: Any) -> Any:
    """Return a mapping without what is not set."""
    if not isinstance(value, dict):
        return value
    kept = {key: given(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item is not None and item != {}}


def lead(facts: Facts) -> str:
    """Return the line under the title."""
    data = facts.space.data
    best_end = "lower is better" if facts.trials.mode == "min" else "higher is better"
    formula = f" = {facts.space.objective.formula}" if facts.space.objective.formula else ""
    state = "" if facts.summary["state"] == State.COMPLETE.lower() else f"; {facts.summary['state']}"
    return (f"{facts.about.task} of {facts.about.rows:,} images from {data.root or data.source}; "
            f"{facts.metric}{formula}, {best_end}{state}")
