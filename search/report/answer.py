"""The answer at the top of a report, in two sentences: is it good, and why."""

from __future__ import annotations

from search.endings import State
from search.progress import score_text
from search.report.facts import Facts
from search.report.importance import importances
from search.table import cost_of

SURE = 0.05  # p below which a difference is called one
BASELINE = 0  # the trial that every search begins with


def answer(facts: Facts) -> str:
    """Return two sentences; one where the search has come to no model, or not yet."""
    if facts.summary["state"] != "complete":
        return unfinished(facts)
    return f"{how_good(facts)} {why(facts)}".strip()


def unfinished(facts: Facts) -> str:
    """Return how the search stands, and the best that it has found."""
    reason = f": {facts.summary['reason']}" if facts.summary.get("reason") else ""
    best = facts.trials.best()
    found = "no trial has come to a score"
    if best is not None:
        value = f"{facts.metric} {score_text(best.ending.value)} on the validation rows"
        found = f"the best so far is trial {best.number} with {value}"
    return f"This search is {facts.summary['state']}{reason}. Nothing is registered, and {found}."


def how_good(facts: Facts) -> str:
    """Return the sealed score in words."""
    summary, network = facts.summary, cost_of(facts.about, facts.chosen)
    test, (low, high) = summary["test"], summary["test_interval"]
    model = f"The best model, {facts.chosen.config.architecture} with {count(network.params)} parameters,"
    rows = f"{summary['test_rows']:,} sealed images that no trial saw"
    if facts.metric == "accuracy":
        return f"{model} is right on {test:.2%} of {rows} (95 % interval {low:.2%} to {high:.2%})."
    between = f"95 % interval {score_text(low)} to {score_text(high)}"
    return f"{model} has {facts.metric} {score_text(test)} on {rows} ({between})."


def why(facts: Facts) -> str:
    """Return what stands behind the score: guessing, the baseline, and what mattered most."""
    parts = [part for part in (against_guessing(facts), against_baseline(facts), what_mattered(facts)) if part]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def against_guessing(facts: Facts) -> str | None:
    """Compare an accuracy with that of always naming the most frequent class."""
    confusion = facts.summary["details"].get("confusion")
    if facts.metric != "accuracy" or not confusion:
        return None
    guessed = max(map(sum, confusion)) / sum(map(sum, confusion))
    low = facts.summary["test_interval"][0]
    verdict = "far above" if low > (1 + guessed) / 2 else "above" if low > guessed else "not to be told from"
    return f"that is {verdict} the {guessed:.2%} of always naming the most frequent class"


def against_baseline(facts: Facts) -> str | None:
    """Compare with the configuration that the search began with: on the sealed rows where it was scored there, else, if it
    ran to its end, on the validation rows."""
    if baseline := facts.summary.get("baseline"):
        gain = baseline["gain"]
        told = "not to be told from" if gain["p"] >= SURE else "better than" if gain["value"] > 0 else "worse than"
        return (f"on the same sealed images it is {told} the baseline, trial {baseline['trial']}, which has "
                f"{score_text(baseline['sealed']['value'])} (p = {gain['p']:.2g}, {gain['method']})")
    chosen, first = facts.chosen, next((trial for trial in facts.trials if trial.number == BASELINE), None)
    if first is None or first is chosen or first.ending.state is not State.COMPLETE or chosen.ending.state is not State.COMPLETE:
        return None
    values = f"{score_text(chosen.ending.value)} against {score_text(first.ending.value)} of the baseline, trial {BASELINE}"
    return f"on the validation rows it has {values}"


def what_mattered(facts: Facts) -> str | None:
    """Return the parameters that mattered most over all trials."""
    for part, shares in importances(facts):
        leading = [name for name, share in shares.items() if share > 0][:2]
        if leading and not part.under:
            return f"what mattered most {part.when} was {' and '.join(leading)}"
    return None


def count(number: float) -> str:
    """Return a large number in short: ``1.2 M``."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {sign}"
    return f"{number:g}"
