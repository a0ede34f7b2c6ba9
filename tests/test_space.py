"""What a space file becomes: parameters, defaults, overrides, places and warnings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from search.parameters import Choice, Float, Int
from search.schema import json_schema
from search.space import Space, load_space
from trainables.config import TrialConfig

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "spaces").glob("*.yaml"))
SMALL = """\
data: {source: aoi, size: 64}
space:
  learning_rate: {loguniform: [1e-4, 1e-1]}
  batch_size: {int: [16, 64], step: 16}
  dropout: {uniform: [0, 0.5], step: 0.1}
  optimizer: {choice: [adam, sgd]}
  weight_decay: 1e-3
schedule: {max_epochs: 6}
budget: {trials: 4}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def parameter(tmp_path: Path, name: str, written: str) -> Any:
    """Return what ``written`` under `space.name` becomes, beside one other searched parameter."""
    path = tmp_path / "one.yaml"
    path.write_text(f"space:\n  seed: {{int: [0, 9]}}\n  {name}: {written}\nbudget: {{trials: 1}}\n")
    space = load_space(path)
    return space.parameters.get(name, space.fixed.get(name))


FORMS = {
    "uniform": ("dropout", "{uniform: [0, 0.5]}", Float(0.0, 0.5)),
    "uniform_step": ("dropout", "{uniform: [0, 0.3], step: 0.1}", Float(0.0, 0.3, step=0.1)),
    "step_in_tenths": ("dropout", "{uniform: [0.8, 0.9], step: 0.1}", Float(0.8, 0.9, step=0.1)),
    "loguniform": ("learning_rate", "{loguniform: [1e-4, 1E-1]}", Float(1e-4, 0.1, log=True)),
    "int": ("batch_size", "{int: [8, 64]}", Int(8, 64)),
    "int_step": ("batch_size", "{int: [8, 64], step: 8}", Int(8, 64, 8)),
    "int_of_number": ("rotation", "{int: [0, 10], step: 5}", Int(0, 10, 5)),
    "choice": ("optimizer", "{choice: [adam, sgd]}", Choice(("adam", "sgd"))),
    "choice_of_numbers": ("dropout", "{choice: [0, 0.5]}", Choice((0.0, 0.5))),
    "block": ("optimizer", "\n    choice:\n      - adam\n      - sgd", Choice(("adam", "sgd"))),
    "the_word_none": ("lr_schedule", "{choice: [none, cosine]}", Choice(("none", "cosine"))),
    "fixed_number": ("learning_rate", "1e-3", 0.001),
    "fixed_whole": ("rotation", "10", 10.0),
    "fixed_text": ("optimizer", "'sgd'", "sgd"),
    "constant": ("dropout", "{uniform: [0.2, 0.2], step: 0.1}", 0.2),
}


@pytest.mark.parametrize(("name", "written", "expected"), FORMS.values(), ids=FORMS)
def test_forms(tmp_path: Path, name: str, written: str, expected: Any) -> None:
    read = parameter(tmp_path, name, written)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(("high", "step"), [(0.3, 0.1), (0.7, 0.1), (0.9, 0.3), (1.1, 0.1), (0.06, 0.01)])
def test_every_step_is_the_number_as_written_and_within_optunas_range(high: float, step: float) -> None:
    values = Float(0.0, high, step=step).grid()
    assert [*values] == [float(f"{index * step:.10g}") for index in range(round(high / step) + 1)]
    assert values[-1] == high
    distribution = FloatDistribution(0.0, high, step=step)
    for value in values:
        create_trial(params={"x": value}, distributions={"x": distribution}, value=0.0)


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "1.e-3", "+0.001", ".001", "10e-4", "0.1e-2"])
def test_every_spelling_of_a_number(tmp_path: Path, written: str) -> None:
    assert parameter(tmp_path, "learning_rate", written) == 1e-3


def test_a_whole_small_space(small: Path) -> None:
    space = load_space(small)
    assert space.name == "small"
    assert (space.path, space.text) == (small, SMALL)
    assert list(space.parameters) == ["learning_rate", "batch_size", "dropout", "optimizer"]
    assert space.fixed == {"weight_decay": 0.001, "epochs": 6}
    assert (space.data.source, space.data.size) == ("aoi", 64)
    assert (space.objective.metric, space.objective.mode) == ("accuracy", "max")
    assert (space.schedule.max_epochs, space.schedule.grace_period, space.schedule.reduction_factor) == (6, 1, 3)
    assert (space.budget.trials, space.budget.minutes) == (4, None)
    assert (space.resources.cpus_per_trial, space.resources.gpus, space.resources.trials_per_gpu) == (1, None, 1)
    assert (space.tracking.uri, space.tracking.experiment) == (None, None)
    assert space.warnings == ()


def test_trial_config_joins_fixed_and_drawn(small: Path) -> None:
    drawn = {"learning_rate": 0.01, "batch_size": 32, "dropout": 0.1, "optimizer": "sgd"}
    assert load_space(small).trial_config(drawn) == TrialConfig(**drawn, weight_decay=1e-3, epochs=6)


def test_epochs_may_be_searched(small: Path) -> None:
    space = load_space(small, ["space.epochs={int: [2, 6], step: 2}"])
    assert space.values("epochs") == range(2, 7, 2)
    assert "epochs" not in space.fixed


def test_values(small: Path) -> None:
    space = load_space(small)
    assert space.values("learning_rate") is None
    assert list(space.values("batch_size")) == [16, 32, 48, 64]
    assert space.values("dropout") == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert list(space.values("optimizer")) == ["adam", "sgd"]
    assert list(space.values("weight_decay")) == [0.001]
    assert list(space.values("image_size")) == [TrialConfig.image_size]


def test_combinations(small: Path) -> None:
    assert load_space(small).combinations() is None
    assert load_space(small, ["space.learning_rate=0.01"]).combinations() == 4 * 6 * 2


def test_the_mode_follows_the_metric(small: Path) -> None:
    assert load_space(small, ["objective.metric=loss"]).objective.mode == "min"


def test_places_are_lines_or_overrides(small: Path) -> None:
    space = load_space(small, ["space.dropout={uniform: [0, 0.4]}", "budget.minutes=1"])
    assert space.where("data.size") == f"{small}:1"
    assert space.where("space.batch_size") == f"{small}:4"
    assert space.where("space.momentum") == f"{small}:2"
    assert space.where("space.dropout.uniform") == "--set space.dropout={uniform: [0, 0.4]}"
    assert space.where("budget.minutes") == "--set budget.minutes=1"
    assert space.where("tracking.uri") == str(small)


OVERRIDES = {
    "number": ("space.weight_decay=1e-2", lambda space: space.fixed["weight_decay"], 0.01),
    "range": ("space.momentum={uniform: [0, 0.9]}", lambda space: space.parameters["momentum"], Float(0.0, 0.9)),
    "value": ("space.dropout=0.2", lambda space: space.fixed["dropout"], 0.2),
    "inside": ("space.dropout.step=0.25", lambda space: space.parameters["dropout"], Float(0.0, 0.5, step=0.25)),
    "new_section": ("tracking.uri=sqlite:///a b.db", lambda space: space.tracking.uri, "sqlite:///a b.db"),
    "whole_section": ("budget={minutes: 2.5}", lambda space: (space.budget.trials, space.budget.minutes), (None, 2.5)),
    "top": ("name=other", lambda space: space.name, "other"),
    "text_with_equals": ("tracking.experiment=a=b", lambda space: space.tracking.experiment, "a=b"),
    "no_interpolation": ("tracking.experiment=${HOME}", lambda space: space.tracking.experiment, "${HOME}"),
    "taken_away": ("tracking.uri=", lambda space: space.tracking.uri, None),
}


@pytest.mark.parametrize(("assignment", "read", "expected"), OVERRIDES.values(), ids=OVERRIDES)
def test_overrides(small: Path, assignment: str, read: Any, expected: Any) -> None:
    assert read(load_space(small, [assignment])) == expected


def test_the_last_override_wins(small: Path) -> None:
    assert load_space(small, ["budget.trials=5", "budget.trials=6"]).budget.trials == 6


WARNINGS = {
    "same_bounds": (
        "space.dropout={uniform: [0.3, 0.3]}",
        "space.dropout: only one value, so it is constant; write dropout: 0.3",
    ),
    "one_choice": (
        "space.optimizer={choice: [sgd]}",
        "space.optimizer: only one value, so it is constant; write optimizer: sgd",
    ),
    "worst": (
        "objective.mode=min",
        "objective.mode: min of accuracy looks for the worst network; remove it unless that is meant",
    ),
}


@pytest.mark.parametrize(("assignment", "expected"), WARNINGS.values(), ids=WARNINGS)
def test_warnings(small: Path, assignment: str, expected: str) -> None:
    assert load_space(small, [assignment]).warnings == (f"--set {assignment}: {expected}",)


def test_more_trials_than_combinations_is_a_warning(small: Path) -> None:
    space = load_space(small, ["space.learning_rate=0.01", "budget.trials=100"])
    assert space.warnings == (
        "--set budget.trials=100: budget.trials: 100 trials for 48 combinations; lower it, or widen the space",
    )


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert load_space(path).where("space.dropout") == f"{path}:5"


def written_again(space: Space, path: Path) -> Space:
    path.write_text(yaml.safe_dump(space.as_dict()))
    return load_space(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_as_dict_is_the_same_space(path: Path, tmp_path: Path) -> None:
    space = load_space(path)
    assert json.loads(json.dumps(space.as_dict())) == space.as_dict()
    assert written_again(space, tmp_path / "again.yaml").as_dict() == space.as_dict()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=space.schema.json\n# ")
    space = load_space(path)
    assert space.name == path.stem
    assert space.warnings == ()


def test_shipped_schema_is_the_generated_one() -> None:
    shipped = json.loads((ROOT / "spaces" / "space.schema.json").read_text(encoding="utf-8"))
    assert shipped == json_schema(), "write it again: python -m search.schema > spaces/space.schema.json"


VALID = {
    "fixed": ({"space": {"dropout": 0.1}, "budget": {"trials": 1}}, True),
    "range": ({"space": {"dropout": {"uniform": [0, 0.5], "step": 0.1}}, "budget": {"minutes": 0.5}}, True),
    "unknown_section": ({"space": {}, "budget": {"trials": 1}, "spce": {}}, False),
    "unknown_key": ({"space": {"learning_rte": 1}, "budget": {"trials": 1}}, False),
    "bound_outside": ({"space": {"dropout": {"uniform": [0, 1]}}, "budget": {"trials": 1}}, False),
    "log_from_zero": ({"space": {"weight_decay": {"loguniform": [0, 1]}}, "budget": {"trials": 1}}, False),
    "choice_as_text": ({"space": {"optimizer": {"choice": "adam"}}, "budget": {"trials": 1}}, False),
    "choice_repeated": ({"space": {"optimizer": {"choice": ["adam", "adam"]}}, "budget": {"trials": 1}}, False),
    "unknown_optimizer": ({"space": {"optimizer": "adamm"}, "budget": {"trials": 1}}, False),
    "step_zero": ({"space": {"dropout": {"uniform": [0, 0.5], "step": 0}}, "budget": {"trials": 1}}, False),
    "unsearchable": ({"space": {"precision": {"choice": ["fp32"]}}, "budget": {"trials": 1}}, False),
    "no_budget": ({"space": {}}, False),
    "empty_budget": ({"space": {}, "budget": {}}, False),
    "mode": ({"space": {}, "budget": {"trials": 1}, "objective": {"mode": "maximum"}}, False),
    "objectives": ({"space": {}, "budget": {"trials": 1}, "objective": [{"metric": "loss"}, {"metric": "macs_g"}]}, True),
    "no objectives": ({"space": {}, "budget": {"trials": 1}, "objective": []}, False),
}


@pytest.mark.parametrize(("values", "valid"), VALID.values(), ids=VALID)
def test_schema(values: dict[str, Any], valid: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(values) is valid


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_schema_takes_the_shipped_spaces(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(load_space(path).as_dict(), json_schema(), cls=jsonschema.Draft202012Validator)


def test_loading_imports_no_heavy_library() -> None:
    script = (
        "import sys; from search.space import load_space; load_space(sys.argv[1]);"
        "sys.exit(str({'torch', 'torchvision', 'ray', 'optuna', 'mlflow'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(SHIPPED[0])], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == ""
