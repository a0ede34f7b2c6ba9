"""The text that goes with a model wherever it goes: what it is for, what it is worth, how it is used, and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from search.champion import sealed_fingerprint
from search.models import command
from search.plan import Plan
from search.progress import score_text, short
from trainables.config import MOMENTUM
from trainables.cost import options_taken
from trainables.models import OPTIONS
from trainables.tasks import UNUSED

if TYPE_CHECKING:
    from search.finish import Outcome

DOES = {"classification": "tells which class an image shows", "landmarks": "finds the places of points in an image",
        "segmentation": "tells which class each pixel of an image shows"}


def model_card(plan: Plan, outcome: Outcome) -> str:
    """Return the card as Markdown."""
    return "\n".join([*answer(plan, outcome), "", *data(plan), "", *use(plan, outcome), "", *limits(plan, outcome)]) + "\n"


def answer(plan: Plan, outcome: Outcome) -> Iterator[str]:
    target, config = plan.catalog.target, outcome.config
    low, high = map(score_text, outcome.test_interval)
    yield f"# {outcome.name}"
    yield ""
    yield f"A {config['architecture']} that {DOES[target.task]}: {', '.join(target.names)}."
    yield ""
    yield "| score | value |"
    yield "| --- | --- |"
    yield f"| {outcome.metric} on {outcome.test_rows} sealed rows that nothing was decided on | {score_text(outcome.test)} |"
    yield f"| its 95 % interval ({outcome.interval_method}) | {low} to {high} |"
    yield f"| on the validation rows, on which it was picked | {score_text(outcome.val)} |"
    if baseline := outcome.baseline:
        yield f"| the baseline on the sealed rows | {score_text(baseline.sealed.value)} |"
        yield f"| p that the two are equally good ({baseline.gain.method}) | {baseline.gain.p:.2g} |"


def data(plan: Plan) -> Iterator[str]:
    catalog, parts = plan.catalog, plan.split
    yield "## Data"
    yield ""
    yield (f"{len(catalog)} images from `{plan.space.data.source}`: {len(parts.pool)} to train on, {len(parts.val)} for "
           f"validation, {len(parts.test)} sealed. {catalog.target.noun.capitalize()}: {catalog.targets.summary()}.")
    yield f"Fingerprint of the data `{catalog.fingerprint}`, of the sealed rows `{sealed_fingerprint(plan)}`."


def use(plan: Plan, outcome: Outcome) -> Iterator[str]:
    size, planes = outcome.config["image_size"], "grey" if plan.channels == 1 else "RGB"
    yield "## Use"
    yield ""
    yield f"    {command(outcome.name, outcome.task, 'IMAGE…')}"
    yield ""
    yield (f"An image is made {planes}, resized to {size} × {size} bilinearly with antialiasing and scaled to 0..1: float32 "
           f"(n, {plan.channels}, {size}, {size}). The network normalises it itself. `model.safetensors` with `model.json`, and "
           "`model.onnx` where it is there, are the same network.")
    yield ""
    unused = unused_settings(outcome.config, outcome.task)
    given = {name: value for name, value in outcome.config.items() if value is not None and name not in unused}
    yield f"Trained with {', '.join(f'{name} {short(value)}' for name, value in given.items())}."


def unused_settings(config: dict[str, Any], task: str) -> set[str]:
    """Return the settings of a trial that had no effect on it, by its network, its optimizer and its task."""
    momentum = () if config["optimizer"] in MOMENTUM else ("momentum",)
    return {*UNUSED[task], *momentum, *OPTIONS} - {*options_taken(config["architecture"])}


def limits(plan: Plan, outcome: Outcome) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "The score holds for images like those of the data, taken the same way. Of others it says nothing."
    if plan.catalog.groups is None:
        yield "Rows count as independent of each other: near copies on both sides of the split would flatter it."
    confusion = outcome.details.get("confusion")
    if confusion and plan.catalog.target.task == "classification":
        recalls = [(row[index] / sum(row), name) for index, (row, name) in enumerate(zip(confusion, outcome.details["classes"]))]
        recall, name = min(recalls)
        if recall < 1:
            yield f"Of the sealed rows of class {name}, where it does worst, it finds {recall:.1%}."
