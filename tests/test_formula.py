"""Objectives that are formulas: what they come to, what is refused, and that a trial that has no value ends alone."""

from __future__ import annotations

import json
import math
import pickle
import time

import pytest

from search.endings import Kind, State
from search.errors import SpaceError
from search.plan import make_plan
from search.run import run_search
from search.space import load_space
from tests import fits
from tests.test_run import drive, query
from trainables.config import TrialConfig
from trainables.cost import cost, figures
from trainables.errors import BadInput, Undefined
from trainables.formula import Formula

LANDMARKS = {"params_m": 1.560906, "flops_g": 0.122993904, "pixel_diff": 6.85640465}


def test_the_score_of_a_published_landmark_network():
    """The figures and the ranking's formula are those of its author, printed to seven digits."""
    formula = Formula("params_m * flops_g * exp(pixel_diff)")
    assert formula(LANDMARKS) == pytest.approx(182.3724, abs=5e-5)
    assert formula.names == ("params_m", "flops_g", "pixel_diff")


def test_the_costs_of_that_network_are_its_authors():
    config = TrialConfig(architecture="mobilenet_v3_small", image_size=224, batch_size=8)
    found = figures(config, channels=3, outputs=42)
    assert (found["params_m"], found["flops_g"]) == pytest.approx((1.560906, 0.122993904), rel=1e-9)
    assert found["macs_g"] == found["flops_g"] / 2
    assert found["memory_mb"] == cost("mobilenet_v3_small", 3, 42, 224).memory(8) / 1e6


VALUES = {
    "precedence": ("a + b * 2 ** 3", 2 + 3 * 8),
    "division": ("a / b - -b", 2 / 3 + 3),
    "powers of whole numbers are floats": ("a * 3 ** 30", 2.0 * 3**30),
    "functions": ("sqrt(a) + log(b) + exp(-a)", math.sqrt(2) + math.log(3) + math.exp(-2)),
    "min and max": ("min(a, b, 5) * max(a, b)", 6),
    "spaces around": ("  a ", 2),
}


@pytest.mark.parametrize(("text", "expected"), VALUES.values(), ids=VALUES)
def test_values(text, expected):
    assert Formula(text)({"a": 2, "b": 3, "other": 9}) == pytest.approx(expected, rel=1e-12)
    assert pickle.loads(pickle.dumps(Formula(text))) == Formula(text)


REFUSED = {
    "always by zero": ("loss / (2 - 2)", "'loss / (2 - 2)' never has a value (float division by zero); mend it"),
    "too large": ("loss * exp(1e4)", "never has a value (math range error)"),
    "tower of powers": ("loss * 9 ** 9 ** 9 ** 9", "never has a value (math range error)"),
    "a root of less than zero": ("loss * (0 - 8) ** 0.5", "never has a value"),
    "in a branch of max": ("max(loss, log(0))", "never has a value"),
    "constant": ("2 * 3", "'2 * 3' is 6 for every trial; name a metric in it"),
    "to the power of zero": ("loss ** 0", "is 1 for every trial"),
    "not finished": ("loss *", "'loss *' is no formula (invalid syntax); write numbers, names, + - * / **, and exp, log"),
    "empty": ("", "the formula is empty; write numbers"),
    "blank": ("  ", "is no formula"),
    "another language": ("loss × 2", "'×' in 'loss × 2' is no arithmetic; write numbers"),
    "attribute": ("loss.real", "'loss.real' is not allowed in a formula"),
    "index": ("loss[0]", "'[' in 'loss[0]' is no arithmetic"),
    "import": ("__import__(loss)", "'__import__(loss)' is not allowed in a formula"),
    "condition": ("loss if accuracy else 1", "is not allowed in a formula"),
    "comparison": ("loss < 1", "'<' in"),
    "text": ("loss * 'a'", "\"'\" in"),
    "truth": ("loss * True", "'True' is not allowed"),
    "complex": ("loss * 1j", "'1j' is not allowed"),
    "unpacking": ("max(loss, *loss)", "'*loss' is not allowed"),
    "a function as a number": ("exp * loss", "'exp' is not allowed"),
    "two arguments": ("log(loss, 2)", "log takes one number, and not 2, in 'log(loss, 2)'"),
    "one argument": ("min(loss)", "min takes two numbers or more, and not 1"),
    "a number in a word": ("1if loss else 2", "is no formula"),
    "long": ("loss" + " + loss" * 100, "704 characters are too many; give at most 500"),
    "deep": ("-" * 60 + "loss", "is nested deeper than 50 levels; shorten it"),
    "deeper than Python goes": ("(" * 240 + "loss" + ")" * 240, "is no formula (too many nested parentheses)"),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_formula_is_refused_at_once(text, expected):
    start = time.perf_counter()
    with pytest.raises(BadInput) as caught:
        Formula(text)
    assert expected in str(caught.value) and "\n" not in str(caught.value) and caught.value.key == "objective.formula"
    assert time.perf_counter() - start < 1


UNDEFINED = {
    "zero": ({"loss": 0.0}, "1 / loss has no value (float division by zero) where loss = 0"),
    "infinite": ({"loss": 1e-320}, "1 / loss is inf where loss = 9.99989e-321"),
    "missing": ({}, "1 / loss has no value: loss was not reported"),
}


@pytest.mark.parametrize(("values", "expected"), UNDEFINED.values(), ids=UNDEFINED)
def test_numbers_for_which_a_formula_has_no_value(values, expected):
    with pytest.raises(Undefined) as caught:
        Formula("1 / loss")(values)
    assert str(caught.value) == expected


OBJECTIVES = {
    "unknown name": ("{formula: params_m * los, mode: min}", "formula: unknown name 'los'; did you mean 'loss'? known: accu"),
    "only a cost": ("{formula: params_m * 2, mode: min}", "formula: 'params_m * 2' is only a cost, and no training changes it"),
    "without mode": ("{formula: loss * params_m}", "mode: a formula does not say which end of it is better; give mode: min or"),
    "beside a metric": ("{formula: loss * 2, mode: min, metric: loss}", "metric: metric loss and a formula stand together; keep"),
    "a number": ("{formula: 5, mode: min}", "formula: 5 is not text; give text"),
}


@pytest.mark.parametrize(("written", "expected"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_an_objective_that_cannot_be(written, expected, space_file):
    with pytest.raises(SpaceError) as caught:
        load_space(space_file, [f"objective={written}"])
    assert f": objective.{expected}" in str(caught.value)


def test_a_formula_ranks_the_trials_everywhere(tmp_path, space_file):
    """Smaller is better: Optuna, MLflow, the summary and the sealed score all hold the same numbers under one name."""
    text = "params_m * exp(loss) + macs_g"
    space = load_space(space_file, [f"objective={{formula: {text}, mode: min}}"])
    outcome = run_search(space, results=tmp_path / "results")
    params, macs = 0.195674, 0.002535824
    rows = query(tmp_path / "results" / "mlflow.db", """
        select o.value, l.value from metrics o join metrics l
        on l.run_uuid = o.run_uuid and l.step = o.step and l.key = 'loss' where o.key = 'objective'""")
    assert len(rows) >= 3
    for objective, loss in rows:
        assert objective == pytest.approx(params * math.exp(loss) + macs)
    final = query(tmp_path / "results" / "mlflow.db", """
        select m.value from latest_metrics m join tags t on t.run_uuid = m.run_uuid
        and t.key = 'state' and t.value = 'COMPLETE' where m.key = 'objective'""")
    assert (outcome.metric, outcome.formula) == ("objective", text) and outcome.val == min(value for value, in final)
    assert outcome.test_interval[0] <= outcome.test <= outcome.test_interval[1] and outcome.interval_method.startswith("bootst")
    assert outcome.test > params + macs  # a loss is above 0
    assert json.loads((tmp_path / "results" / "tiny" / "search.json").read_text())["formula"] == text


@pytest.mark.slow
def test_a_division_by_zero_ends_its_trial_and_not_the_search(tmp_path, space_file):
    space = load_space(space_file, ["objective={formula: 1 / (accuracy - 0.9), mode: max}", "space.batch_size={choice: [8, 9]}",
                                    "budget.trials=8", "schedule.reduction_factor=1000"])
    trials = drive(make_plan(space), tmp_path / "zero", fits.faulty)
    assert len(trials) == 8 and {trial.ending.kind for trial in trials.ended(State.FAILED)} == {Kind.UNDEFINED}
    assert next(iter(trials)).ending.message == "1 / (accuracy - 0.9) has no value (float division by zero) where accuracy = 0.9"
