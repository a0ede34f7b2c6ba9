"""Parameters that apply only under a choice: read, drawn, counted, recorded; and grids, which try every combination."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.errors import SpaceError
from search.networks import bounds, networks
from search.parameters import Branch, Choice, Float, Int
from search.plan import make_plan
from search.run import run_search
from search.schema import json_schema
from search.space import Space, load_space
from search.study import create_study
from search.views import plan as plan_view
from tests.conftest import write_space
from tests.test_run import query, study_of

NESTED = """\
data: {source: aoi, size: 32}
space:
  architecture:
    choice:
      - conv3_fc2
      - vit_tiny: {patch_size: {choice: [4, 8]}, depth: 3}
  optimizer:
    choice:
      - adam: {learning_rate: {loguniform: [1e-4, 1e-2]}}
      - sgd:
          learning_rate: {loguniform: [1e-3, 1e-1]}
          lr_schedule:
            choice: [none, {cosine: {momentum: {uniform: [0, 0.95]}}}]
  pretrained: {choice: [false, {true: {dropout: 0.1}}]}
  batch_size: {choice: [16, {32: {weight_decay: 0.1}}]}
  image_size: 32
budget: {trials: 4}
"""
SGD = "space.optimizer={{choice: [adam, {{sgd: {{momentum: {}}}}}]}}"


def space_of(folder: Path, text: str, *overrides: str) -> Space:
    path = folder / "s.yaml"
    path.write_text(text)
    return load_space(path, overrides)


@pytest.fixture
def nested(tmp_path: Path) -> Space:
    return space_of(tmp_path, NESTED)


def picking(picks: dict[str, Any], asked: list[str]):
    """Return a suggest that picks by label, and notes what it was asked for."""

    def suggest(label: str, parameter: Any) -> Any:
        asked.append(label)
        return picks.get(label, parameter.low if isinstance(parameter, (Float, Int)) else parameter.values[0])

    return suggest


def test_reading(nested: Space) -> None:
    vit = Branch({"patch_size": Choice((4, 8))}, {"depth": 3})
    assert nested.parameters["architecture"] == Choice(("conv3_fc2", "vit_tiny"), {"vit_tiny": vit})
    assert nested.parameters["pretrained"] == Choice((False, True), {True: Branch({}, {"dropout": 0.1})})
    assert nested.parameters["batch_size"].branches == {32: Branch({}, {"weight_decay": 0.1})}
    cosine = Choice(("none", "cosine"), {"cosine": Branch({"momentum": Float(0, 0.95)})})
    assert nested.parameters["optimizer"].branches["sgd"].parameters["lr_schedule"] == cosine
    assert nested.searched == ("architecture", "depth", "patch_size", "optimizer", "learning_rate", "lr_schedule", "momentum",
                               "pretrained", "dropout", "batch_size", "weight_decay")


DRAWS = {
    "least": (
        {}, ["architecture", "optimizer", "learning_rate (optimizer=adam)", "pretrained", "batch_size"],
        {"architecture": "conv3_fc2", "optimizer": "adam", "learning_rate": 1e-4, "pretrained": False, "batch_size": 16}),
    "most": (
        {"architecture": "vit_tiny", "patch_size": 8, "optimizer": "sgd", "learning_rate (optimizer=sgd)": 0.05,
         "lr_schedule": "cosine", "momentum": 0.5, "pretrained": True, "batch_size": 32},
        ["architecture", "patch_size", "optimizer", "learning_rate (optimizer=sgd)", "lr_schedule", "momentum", "pretrained",
         "batch_size"],
        {"architecture": "vit_tiny", "depth": 3, "patch_size": 8, "optimizer": "sgd", "learning_rate": 0.05,
         "lr_schedule": "cosine", "momentum": 0.5, "pretrained": True, "dropout": 0.1, "batch_size": 32, "weight_decay": 0.1}),
}


@pytest.mark.parametrize(("picks", "labels", "expected"), DRAWS.values(), ids=DRAWS)
def test_only_what_applies_is_drawn(nested: Space, picks, labels, expected) -> None:
    asked: list[str] = []
    params = nested.draw(picking(picks, asked))
    assert (asked, params) == (labels, expected)
    config = nested.trial_config(params)
    assert {name: getattr(config, name) for name in expected} == expected
    assert set(nested.not_set(params)) == set(nested.searched) - set(params)
    assert list(nested.labelled(params)) == labels
    assert nested.draw(lambda label, parameter: nested.labelled(params)[label]) == params


def test_a_name_with_one_range_keeps_it(tmp_path: Path) -> None:
    own = "{momentum: {uniform: [0, 0.9]}}"
    optimizer = f"{{choice: [adam, {{sgd: {own}}}, {{rmsprop: {own}}}]}}"
    space = space_of(tmp_path, f"space:\n  optimizer: {optimizer}\nbudget: {{trials: 1}}\n")
    for optimizer in ("sgd", "rmsprop"):
        asked: list[str] = []
        space.draw(picking({"optimizer": optimizer}, asked))
        assert asked == ["optimizer", "momentum"]


def test_what_a_parameter_can_be(nested: Space) -> None:
    """A branch's values, and the default where the branch does not apply."""
    assert list(nested.values("patch_size")) == [8, 4]
    assert list(nested.values("depth")) == [6, 3]
    assert nested.values("learning_rate") is None and nested.values("momentum") is None
    assert list(nested.values("lr_schedule")) == ["none", "cosine"]
    assert bounds(nested, "learning_rate") == (1e-4, 1e-1)
    assert bounds(nested, "momentum") == (0, 0.95) and bounds(nested, "weight_decay") == (0, 0.1)


def test_networks_are_counted_with_the_options_that_reach_them(nested: Space) -> None:
    assert [network.label for network in networks(nested)] == [
        "conv3_fc2", "vit_tiny(patch_size=4, depth=3)", "vit_tiny(patch_size=8, depth=3)"]
    assert "    vit_tiny: patch_size choice [4, 8]\n    vit_tiny: depth 3\n" in plan_view(make_plan(
        space_of(nested.path.parent, NESTED, "space.pretrained=false")))


def test_combinations(tmp_path: Path, nested: Space) -> None:
    assert nested.combinations() is None
    finite = NESTED.replace("loguniform", "choice").replace("{uniform: [0, 0.95]}", "{uniform: [0, 0.9], step: 0.3}")
    space = space_of(tmp_path, finite)
    # networks 1 + 2, optimizers 2 + 2 · (1 + 4), pretrained 2, batches 2
    assert space.combinations() == 3 * 12 * 2 * 2
    every = list(space.every())
    assert len(every) == 144 and len({json.dumps(params) for params in every}) == 144
    assert every == list(space.every())
    assert {"momentum" in params for params in every if params.get("lr_schedule") == "cosine"} == {True}
    assert not any("momentum" in params for params in every if params["optimizer"] == "adam")


def test_a_single_value_brings_its_branch_always(tmp_path: Path) -> None:
    optimizer = "{choice: [{sgd: {momentum: {choice: [0, 0.9]}, dropout: 0.1}}]}"
    space = space_of(tmp_path, f"space: {{optimizer: {optimizer}}}\nbudget: {{trials: 1}}")
    assert space.parameters == {"momentum": Choice((0.0, 0.9))}
    assert space.fixed == {"optimizer": "sgd", "dropout": 0.1, "epochs": 10}


def test_as_dict_is_the_same_space(tmp_path: Path, nested: Space) -> None:
    again = space_of(tmp_path, yaml.safe_dump(json.loads(json.dumps(nested.as_dict())), sort_keys=False))
    assert again.parameters == nested.parameters and again.fixed == nested.fixed


def test_the_schema_takes_it(nested: Space) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(nested.as_dict())
    for wrong in ({"sgd": {"momentun": 1}}, {"sgdd": {}}, {"sgd": {}, "adam": {}}, {"sgd": 5}):
        assert not validator.is_valid({"space": {"optimizer": {"choice": ["adamw", wrong]}}, "budget": {"trials": 1}})


# What is written for `optimizer`, and the line about it, after "s.yaml:2: space.optimizer.choice".
WRONG = {
    "range": ("[adam, {sgd: {momentum: {uniform: [0, 1]}}}]", ".sgd.momentum.uniform: 1 is out of range; give a number >= 0 and"),
    "name": ("[adam, {sgd: {momentun: 0.5}}]", ".sgd.momentun: unknown key 'momentun'; did you mean 'momentum'? known: "),
    "value": ("[adam, {sgdd: {momentum: 0.5}}]", ": unknown value 'sgdd'; did you mean 'sgd'? known: sgd, adam, "),
    "two keys": ("[{adam: {}, sgd: {}}]", ": {'adam': {}, 'sgd': {}} is no value with parameters of its own; write {valu"),
    "no mapping": ("[adam, {sgd: 5}]", ": {'sgd': 5} is no value with parameters of its own; write {value: {name: "),
    "twice": ("[sgd, {sgd: {momentum: 0.5}}]", ": 'sgd' is listed twice; remove one"),
    "itself": ("[adam, {sgd: {optimizer: adam}}]", ": optimizer is given here and elsewhere, and both would hold"),
    "above": ("[adam, {sgd: {seed: 1}}]", ": seed is given here and elsewhere, and both would hold"),
    "beside": ("[adam, {sgd: {dropout: 0.1}}]", ": dropout is given here and elsewhere, and both would hold"),
}  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), WRONG.values(), ids=WRONG)
def test_mistakes(tmp_path: Path, written: str, expected: str) -> None:
    others = "  seed: 1\n  batch_size: {choice: [16, {32: {dropout: 0.2}}]}\n"
    with pytest.raises(SpaceError) as caught:
        space_of(tmp_path, f"space:\n  optimizer: {{choice: {written}}}\n{others}budget: {{trials: 1}}\n")
    assert expected in str(caught.value).partition("space.")[2] and "\n" not in str(caught.value)


def test_a_search_records_what_does_not_apply_as_not_set(tmp_path: Path, space_file: Path) -> None:
    space = load_space(space_file, [SGD.format("{choice: [0, 0.5]}"), "budget.trials=8"])
    outcome = run_search(space, results=tmp_path / "results", fit=None)
    rows = query(tmp_path / "results" / "mlflow.db", """
        select o.value, m.value from params o left join params m on m.run_uuid = o.run_uuid and m.key = 'momentum'
        where o.key = 'optimizer'""")
    assert len(rows) == 8 and {optimizer for optimizer, _ in rows} == {"adam", "sgd"}
    assert all((momentum is None) == (optimizer == "adam") for optimizer, momentum in rows)
    for trial in study_of(tmp_path / "results" / "tiny").trials:
        assert ("momentum" in trial.params) == (trial.params["optimizer"] == "sgd")
    assert (outcome.params["momentum"] is None) == (outcome.params["optimizer"] == "adam")


def test_a_grid_asks_for_every_combination_once(tmp_path: Path, images: Path) -> None:
    path = write_space(tmp_path / "tiny.yaml", images, epochs=3)
    text = path.read_text().replace("budget: {trials: 3}", "search: grid").replace(", grace_period: 1, reduction_factor: 2", "")
    path.write_text(text.replace("{loguniform: [1e-3, 1e-2]}", "0.01"))
    space = load_space(path, ["space.seed={choice: [0, 1]}", SGD.format("{choice: [0, 0.5]}")])
    assert space.budget.trials == 12 and space.schedule.grace_period == 3 and not make_plan(space).rungs
    assert json.loads(json.dumps(space.as_dict()))["search"] == "grid"
    study = create_study(space, tmp_path)
    asked = [study.ask() for _ in range(13)]
    assert [each and each.params for each in asked] == [*space.every(), None]
    study.close()
    assert [trial.params for trial in study_of(tmp_path).trials] == [space.labelled(params) for params in space.every()]


GRIDS = {
    "endless": ("space.dropout={uniform: [0, 0.5]}", "space.dropout: a grid tries every value, and dropout has no end of them"),
    "endless branch": (SGD.format("{uniform: [0, 0.5]}"), "and momentum has no end of them"),
    "no grid": ("search=gird", "search: unknown value 'gird'; did you mean 'grid'? known: sampled, grid"),
}


@pytest.mark.parametrize(("assignment", "expected"), GRIDS.values(), ids=GRIDS)
def test_what_cannot_be_a_grid(space_file: Path, assignment: str, expected: str) -> None:
    with pytest.raises(SpaceError) as caught:
        load_space(space_file, ["space.learning_rate=0.01", "search=grid", assignment])
    assert expected in str(caught.value)


def test_a_grid_may_be_cut_short_and_stopped_early(space_file: Path) -> None:
    space = load_space(space_file, ["space.learning_rate={choice: [0.01, 0.1]}", "search=grid", "budget={trials: 3, minutes: 1}"])
    assert (space.budget.trials, space.budget.minutes, space.schedule.grace_period) == (3, 1, 1)
