"""What the commands print for people: a plan, the best of a search, the list of searches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.diagnosis import RungCheck
from search.endings import Stop
from search.front import cells, in_words
from search.limits import broken
from search.models import command
from search.networks import memory
from search.parameters import Branch, Choice, Parameter, shown
from search.plan import Plan
from search.progress import clock_text, score_text, short
from search.replay import Epoch
from search.resources import plural
from search.rung_table import RungRow
from search.space import Space
from trainables.cost import Cost

if TYPE_CHECKING:
    from search.status import Status

STOPS = {
    Stop.TRIALS: "all trials of the budget were run",
    Stop.MINUTES: "the budget's minutes were over",
    Stop.GPU_HOURS: "the budget's GPU-hours were over",
    Stop.PATIENCE: "budget.patience: so many trials brought nothing better",
    Stop.EXHAUSTED: "nothing was left to try",
    Stop.FINISH: "`finish` ended it before its budget was spent",
}
SHARES = ("accuracy", "balanced_accuracy", "macro_f1", "mean_iou", "pixel_accuracy")


def plan(plan: Plan) -> str:
    """Return what `check` prints."""
    space, catalog, parts = plan.space, plan.catalog, plan.split
    width, height, wide, high = catalog.sizes
    found = f"{width}x{height}" if (width, height) == (wide, high) else f"{width}x{height} to {wide}x{high}"
    lines = [
        f"{space.path}: valid",
        *(f"  warning: {warning}" for warning in plan.warnings),
        f"data        {len(catalog)} images of {found}, {'grey' if plan.channels == 1 else 'colour'}, from {space.data.source}",
        f"  {catalog.target.noun:<10}{catalog.targets.summary()}",
        *(f"  {name:<10}{tally(values)}" for name, values in catalog.attributes.items()),
        f"  split     {len(parts.pool)} to train on, {len(parts.val)} for validation, {len(parts.test)} sealed for the test",
        f"  memory    {plan.residence()}",
        f"  copies    {parts.duplicates} exact duplicates (kept on one side), {len(parts.conflicts)} with conflicting labels"
        + (f", {len(parts.dropped)} left out as copies of test images" if len(parts.dropped) else ""),
        f"objective   {'; '.join(map(str, space.objectives))}",
        "searched",
        *searched(space.trunk),
        f"  combinations      {number(space.combinations())}" + (", each tried once" if space.search == "grid" else ""),
        "fixed",
        *(f"  {name:<18}{value}" for name, value in space.fixed.items() if name not in space.parameters),
        "networks",
        *(f"  {network.label:<20} at {network.size} px: {cost.params:>12,} parameters, {cost.thop_macs:>14,} MACs (thop), "
          f"{cost.macs:>14,} (conv, matmul), {memory(space, cost)[1] / 1e6:>6,.0f} MB a step{forbidden(space, cost)}"
          for network, cost in plan.networks),
        *([f"limits      {limits(space)}"] if space.limits.given() else []),
        f"schedule    {schedule(plan)}",
        f"resources   {plan.machine.describe()}",
        f"disk        about {plan.disk_bytes() / 1e6:,.0f} MB at once for decoded images, checkpoints and weights",
        f"budget      {budget(plan)}",
        f"finish      {finish(plan)}",
    ]
    return "\n".join(lines)


def forbidden(space: Space, cost: Cost) -> str:
    """Return what of a network's cost breaks the limits: always, or with some batches and optimizers."""
    few, many = (next(broken(space.limits, cost.figures(bytes)), None) for bytes in memory(space, cost))
    return f"; never tried: {few}" if few else f"; tried in part: up to {many}" if many else ""


def limits(space: Space) -> str:
    given = ", ".join(f"{name} {limit:g}" for name, limit in space.limits.given().items())
    return given + ("; latency is measured when the search starts" if space.limits.latency_ms else "")


def tally(values: Iterable[str]) -> str:
    """Return how often each value occurs: ``mono 1074, poly 1550``."""
    return ", ".join(f"{value} {count}" for value, count in sorted(Counter(values).items()))


def schedule(plan: Plan) -> str:
    rungs, factor = ", ".join(map(str, plan.rungs)), plan.space.schedule.reduction_factor
    compared = f"rungs after epochs {rungs}, where 1 in {factor:g} goes on" if rungs else "no rungs"
    return f"at most {plan.space.schedule.max_epochs} epochs; {compared}"


def searched(branch: Branch, under: str = "  ") -> Iterator[str]:
    """Yield a line for each parameter; what applies only under a value of a choice stands below it, after that value."""
    for name, parameter in branch.parameters.items():
        yield f"{under + name:<19} {form(parameter)}"
        for value, inner in parameter.branches.items() if isinstance(parameter, Choice) else ():
            yield from searched(inner, f"{under}  {shown(value)}: ")
            yield from (f"{f'{under}  {shown(value)}: {fixed}':<19} {given}" for fixed, given in inner.fixed.items())


def form(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return f"choice [{', '.join(map(str, parameter.values))}]"
    written = parameter.as_dict()
    [low, high] = next(iter(written.values()))
    step = f" in steps of {written['step']:g}" if "step" in written else ""
    return f"{next(iter(written))} [{low}, {high}]{step}"


def number(combinations: int | None) -> str:
    return "without end" if combinations is None else f"{combinations:,}"


def budget(plan: Plan) -> str:
    limits = plan.space.budget
    parts = [f"{limits.trials} trials"] if limits.trials else []
    parts += [f"{limits.minutes:g} minutes, the finish included"] if limits.minutes else []
    parts += [f"{limits.gpu_hours:g} hours of {plan.machine.gpus} GPUs together"] if limits.gpu_hours else []
    parts += [f"until {limits.patience} trials bring nothing better"] if limits.patience else []
    return ", at most ".join(parts).replace("at most until", "or until")


def finish(plan: Plan) -> str:
    """Return what is done at the end, beside scoring and registering the best model."""
    given = plan.space.finish
    again = f"the best {given.top} trained again to {plural(given.seeds, 'seed')} each" if given.top and given.seeds > 1 else ""
    beside = ", ".join(name for name in ("refit", "ensemble", "flips") if getattr(given, name))
    parts = [again, f"scored beside the model: {beside}" if beside else ""]
    return "; ".join(part for part in parts if part) or "nothing is trained again"


def best(summary: dict[str, Any], results: Path) -> str:
    """Return what `best` prints, and what `run` ends with."""
    name = summary["name"]
    if summary["state"] != "complete":
        counts = ", ".join(f"{count} {state.lower()}" for state, count in summary.get("trials", {}).items())
        reason = f": {summary['reason']}" if summary.get("reason") else ""
        return f"search {name!r} is {summary['state']}{reason}" + (f"\ntrials    {counts}" if counts else "")
    low, high = summary["test_interval"]
    counts = summary["trials"]
    stopped = "" if summary["trial_state"] == "COMPLETE" else " (stopped before its last epoch)"
    lines = [
        f"search    {name}: {sum(counts.values())} trials in {clock_text(summary['seconds'])}: {counts['COMPLETE']} complete, "
        f"{counts['PRUNED']} stopped early, {counts['FAILED']} failed",
        *([f"ended     {STOPS[summary['ended_by']]}"] if "ended_by" in summary else []),
        f"best      trial {summary['trial']}{stopped}",
        *(f"  {key:<18}{short(value)}" for key, value in summary["params"].items()),
        *([f"{'formula':<10}{summary['formula']}"] if summary.get("formula") else []),
        *seeds(summary.get("candidates", [])),
        f"{summary['metric']:<9} {score_text(summary['val'])} on the validation rows "
        f"(picked as the best of all trials, so it tends to flatter{flattery(summary)})",
        f"{'':<10}{score_text(summary['test'])} on the {summary['test_rows']} sealed rows that no trial saw; 95 % interval "
        f"{score_text(low)} to {score_text(high)} ({summary['interval_method']})",
        *worth(summary),
        *(f"{name:<10}{score_text(score['value'])} on the sealed rows; 95 % interval "
          f"{' to '.join(map(score_text, score['interval']))}" for name, score in summary.get("extras", {}).items()),
        *(f"note      {note}" for note in summary.get("notes", [])),
        f"model     {summary['model']}",
        f"          {summary['registered']} in {summary['tracking']}",
        *files(summary.get("exports", [])),
        *([f"          {summary['verdict']}"] if not summary.get("champion", True) else []),
        *([f"report    {page}"] if (page := results / name / "report.html").is_file() else []),
    ]
    folder = "" if results == Path("results") else f" --results {results}"
    lines += front(summary.get("front"), summary.get("hypervolume"), counts["COMPLETE"])
    lines += rung_checks(summary.get("rungs", []))
    lines.append(f"next      {command(name, summary.get('task'), 'IMAGE…')}{folder}")
    lines.append(f"          python -m search ui {name}{folder}")
    return "\n".join(lines)


def seeds(candidates: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line on the values of each finalist, the winner first, where they were trained again."""
    for number, candidate in enumerate(candidates if any(len(one["seeds"]) > 1 for one in candidates) else ()):
        values = " ".join(map(score_text, candidate["values"])) + " failed" * candidate["failed"]
        text = f"trial {candidate['trial']}: {values}, mean {score_text(candidate['mean'])}"
        yield f"{'' if number else 'seeds':<10}{text}"


def files(exports: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line on each file of the model."""
    for export in exports:
        if export["problem"]:
            yield f"          {export['file']} is not there: {export['problem']}"
            continue
        speed = ", ".join(f"{milliseconds:.3g} ms for {images}" for images, milliseconds in export["latency_ms"].items())
        agrees = f", within {export['difference']:.1g} of it" if export["difference"] else ""
        yield f"          {export['file']}: {export['bytes'] / 1e6:.1f} MB, {speed}{agrees}"


def flattery(summary: dict[str, Any]) -> str:
    """Return how far the validation score is from the sealed one."""
    if summary.get("optimism") is None:
        return ""
    side = "below" if summary["val"] < summary["test"] else "over"
    return f": {amount(abs(summary['optimism']), summary['metric'])[1:]} {side} the sealed score"


def worth(summary: dict[str, Any]) -> Iterator[str]:
    """Yield a line on the baseline and what the search gained over it."""
    if baseline := summary.get("baseline"):
        gain, theirs = baseline["gain"], score_text(baseline["sealed"]["value"])
        verdict = "no proof of a difference" if gain["p"] > 0.05 else "hardly chance"
        yield (f"baseline  {theirs} by trial {baseline['trial']} on the same rows: the search gained "
               f"{amount(gain['value'], summary['metric'])}, {verdict} (p = {gain['p']:.2g}, {gain['method']})")


def amount(difference: float, metric: str) -> str:
    """Return a difference of scores with its sign, in points of a hundred where the metric is a share."""
    if metric in SHARES:
        return f"{100 * difference:+.2f} points"
    return f"{'-' if difference < 0 else '+'}{score_text(abs(difference))}"


def replayed(epoch: Epoch) -> str:
    """Return a line on an epoch that was trained again: equal, or each number that differs."""
    both = {name: (value, epoch.replayed[name]) for name, value in epoch.recorded.items()}
    unequal = ", ".join(f"{name} {old!r} now {new!r}" for name, (old, new) in both.items() if old != new)
    return f"epoch {epoch.epoch:<4}{unequal or 'the same'}"


def replay(found: dict[str, Any]) -> str:
    """Return the last line of `replay`."""
    if found["same"]:
        return f"trial {found['trial']} came out the same, number by number, in all {found['epochs']} epochs"
    if found["differs_from_epoch"] is None:
        ended = f"{found['epochs']} of {found['recorded_epochs']} epochs"
        return f"trial {found['trial']} came out the same, but ended after {ended}"
    return f"trial {found['trial']} came out differently from epoch {found['differs_from_epoch']} on"


def front(points: list[dict[str, Any]] | None, volume: dict[str, Any] | None, finished: int) -> list[str]:
    """Return the front of a search with several objectives, a line a trial; nothing where there is none."""
    if not points or not volume:
        return []
    rows = cells(points)
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    table = ["  " + "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"front     {len(points)} of {finished} finished trials are beaten by no other in all objectives together", *table,
            f"  {in_words(volume)}"]


def failed(failures: dict[str, int], trials: dict[str, int]) -> str:
    """Return what `run` warns of where many trials failed."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in failures.items())
    return f"{trials['FAILED']} of {sum(trials.values())} trials failed ({kinds}); see the search's errors folder"


def rung_checks(rungs: list[dict[str, Any]]) -> list[str]:
    """Return a line on how far early epochs told of the last one, and one with the mend for the latest rung that did not."""
    known = [RungCheck(**rung) for rung in rungs]
    compared = [f"{check.correlation:.2f} at epoch {check.epoch}" for check in known if check.correlation is not None]
    lines = [f"rungs     rank correlation with the last epoch: {', '.join(compared)}"] if compared else []
    for check in [check for check in known if check.misleads][-1:]:
        lines.append(f"          epoch {check.epoch} does not tell which of {check.trials} finished trials ended best; "
                     "raise schedule.grace_period above it")
    return lines


def status(found: Status) -> str:
    """Return what `status` prints."""
    counts = found.trials
    who = f" in process {found.process}" if found.process else ""
    mend = f"; `resume {found.name}` goes on with it" if found.state in ("killed", "interrupted", "failed") else ""
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.failures.items())
    limits = ", ".join(f"{limit:g} {name.replace('_', ' ')}" for name, limit in found.budget.items())
    left = "" if found.left is None or not found.process else f", {clock_text(found.left)} left"
    running = "to go on with" if counts["RUNNING"] and not found.process else "running"
    lines = [
        f"search    {found.name}: {found.state}{who}{mend}",
        f"trials    {counts['RUNNING']} {running}, {counts['COMPLETE']} complete, {counts['PRUNED']} stopped early, "
        f"{counts['FAILED']} failed" + (f" ({kinds})" if kinds else ""),
        f"time      {clock_text(found.spent)}{left}; budget {limits}; {found.per_minute:g} trials a minute",
    ]
    if found.best:
        given = " ".join(f"{name}={short(value)}" for name, value in found.best["params"].items())
        lines.append(f"best      {found.metric} {score_text(found.best['value'])} by trial {found.best['trial']}: {given}")
    lines += rung_lines(found.rungs, found.metric)
    if found.last:
        last = found.last
        what = f"{last['event']} of trial {last['trial']} at epoch {last['epoch']}"
        lines.append(f"last      {what}, {last['seconds_ago']:.0f} s ago")
    return "\n".join(lines)


def rung_lines(rungs: Iterable[RungRow], metric: str) -> Iterator[str]:
    """Yield a line for each rung."""
    for number, rung in enumerate(rungs):
        best = "" if rung.best is None else f", best {metric} {score_text(rung.best)}"
        yield (f"{'' if number else 'rungs':<10}epoch {rung.epoch}: {rung.reached} came, {rung.stopped} stopped, "
               f"{rung.passed} went on{best}")


def searches(summaries: list[dict[str, Any]], results: Path) -> str:
    """Return what `list` prints: a line a search."""
    if not summaries:
        return f"no searches in {results}; start one with `python -m search run SPACE.yaml`"
    lines = [f"{'name':<24}{'state':<13}{'trials':>7}  {'metric':<18}{'val':>7} {'test':>7}"]
    for summary in summaries:
        trials = sum(summary.get("trials", {}).values())
        scores = f"{score_text(summary['val']):>7} {score_text(summary['test']):>7}" if summary["state"] == "complete" else ""
        lines.append(f"{summary['name']:<24}{summary['state']:<13}{trials:>7}  {summary.get('metric', ''):<18}{scores}".rstrip())
    return "\n".join(lines)
