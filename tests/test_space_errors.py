"""Every mistake in a space file is one line with file, line, key, value and mend."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from search.errors import SpaceError
from search.plan import make_plan
from search.space import load_space
from trainables.errors import BadInput

BASE = {"space": "space:\n  dropout: {uniform: [0, 0.5]}\n", "budget": "budget: {trials: 2}\n"}


def complete(text: str) -> str:
    """Put ``text`` first and add the sections that a space file needs and ``text`` lacks."""
    return text + "\n" + "".join(section for name, section in BASE.items() if not text.startswith(f"{name}:"))


def message(path: Path, overrides: tuple[str, ...] = ()) -> str:
    """Return the one line that loading ``path`` ends with, without the folder."""
    with pytest.raises(SpaceError) as caught:
        load_space(path, overrides)
    line = str(caught.value)
    assert caught.value.exit_status == 2
    assert "\n" not in line
    return line.replace(f"{path.parent}{os.sep}", "")


# What is written under `space:`, and the line about it, after "s.yaml:2: space.".
PARAMETERS = {
    "unknown": ("learning_rte: 0.1", "learning_rte: unknown key 'learning_rte'; did you mean 'learning_rate'? known: "),
    "unknown_form": ("dropout: {unifrm: [0, 1]}", "dropout.unifrm: unknown key 'unifrm'; did you mean 'uniform'?"),
    "foreign_form": ("dropout: {min: 0, max: 1}", "dropout.min: unknown key 'min'; write one of {uniform: [low, high]"),
    "unknown_step": ("dropout: {int: [0, 1], stp: 1}", "dropout.stp: unknown key 'stp'; did you mean 'step'?"),
    "no_form": ("dropout: {step: 0.1}", "dropout: no range is given; write one of {uniform: [low, high]}, "),
    "two_forms": ("dropout: {uniform: [0, 1], choice: [0]}", "dropout: uniform and choice stand together; keep one"),
    "elsewhere": ("max_epochs: 3", "max_epochs: unknown key 'max_epochs'; it belongs under schedule"),
    "low_above_high": ("dropout: {uniform: [0.5, 0.1]}", "dropout.uniform: low 0.5 is above high 0.1; swap them"),
    "bound_outside": ("dropout: {uniform: [0, 1]}", "dropout.uniform: 1 is out of range; give a number >= 0 and < 1"),
    "no_pair": ("dropout: {uniform: 0.5}", "dropout.uniform: 0.5 is not a pair; write {uniform: [low, high]}"),
    "three_bounds": ("dropout: {uniform: [0, 0.2, 0.5]}", "dropout.uniform: [0, 0.2, 0.5] is not a pair; write"),
    "text_bound": ("dropout: {uniform: ['0', 0.5]}", "dropout.uniform: '0' is not a number; give a number >= 0"),
    "nan_bound": ("dropout: {uniform: [0, .nan]}", "dropout.uniform: nan is out of range; give a number >= 0"),
    "inf_bound": ("learning_rate: {uniform: [1e-3, .inf]}", "learning_rate.uniform: inf is out of range; give a numbe"),
    "overflow": ("learning_rate: {uniform: [1e-3, 1e999]}", "learning_rate.uniform: inf is out of range; give a numbe"),
    "log_from_zero": (
        "weight_decay: {loguniform: [0, 0.1]}",
        "weight_decay.loguniform: 0 has no logarithm; give bounds above 0, or use uniform",
    ),
    "step_zero": ("dropout: {uniform: [0, 0.5], step: 0}", "dropout.step: 0 is out of range; give a number above 0"),
    "step_negative": ("dropout: {uniform: [0, 0.5], step: -1}", "dropout.step: -1 is out of range; give a number abov"),
    "step_inf": ("dropout: {uniform: [0, 0.5], step: .inf}", "dropout.step: inf is out of range; give a number above "),
    "step_text": ("dropout: {uniform: [0, 0.5], step: a}", "dropout.step: 'a' is not a number; give a number above 0"),
    "step_too_large": (
        "dropout: {uniform: [0, 0.5], step: 0.7}",
        "dropout.step: 0.7 is larger than the range 0 to 0.5; give at most 0.5",
    ),
    "step_not_dividing": (
        "dropout: {uniform: [0, 0.5], step: 0.2}",
        "dropout.step: 0.2 does not divide the range 0 to 0.5; end the range at 0.4, or change the step",
    ),
    "int_step_not_dividing": (
        "batch_size: {int: [8, 64], step: 9}",
        "batch_size.step: 9 does not divide the range 8 to 64; end the range at 62, or change the step",
    ),
    "int_step_fraction": ("batch_size: {int: [8, 64], step: 0.5}", "batch_size.step: 0.5 is not a whole number; give"),
    "step_tiny": ("dropout: {uniform: [0, 0.5], step: 1e-9}", "dropout.step: 1e-09 makes more than 1,000,000 steps; g"),
    "step_of_log": (
        "learning_rate: {loguniform: [1e-4, 1e-2], step: 1e-4}",
        "learning_rate.step: loguniform takes no step (got 0.0001); remove it",
    ),
    "step_of_choice": ("dropout: {choice: [0, 0.5], step: 0.1}", "dropout.step: choice takes no step (got 0.1); remov"),
    "int_from_fraction": ("batch_size: {int: [0.5, 16]}", "batch_size.int: 0.5 is not a whole number; give whole boun"),
    "int_from_float": ("batch_size: {int: [16.0, 64]}", "batch_size.int: 16.0 is not a whole number; give whole bound"),
    "int_of_number": ("rotation: {int: [0, 9.5]}", "rotation.int: 9.5 is not a whole number; give whole bounds, or us"),
    "fractions_of_int": ("batch_size: {uniform: [8, 16]}", "batch_size.uniform: uniform [8, 16] draws fractions; writ"),
    "range_of_text": ("optimizer: {uniform: [0, 1]}", "optimizer.uniform: uniform [0, 1] draws numbers; give one of s"),
    "choice_empty": ("optimizer: {choice: []}", "optimizer.choice: the list [] is empty; give at least two values"),
    "choice_text": ("optimizer: {choice: adam}", "optimizer.choice: 'adam' is not a list; write {choice: [adam, ...]}"),
    "choice_repeated": ("optimizer: {choice: [adam, sgd, adam]}", "optimizer.choice: 'adam' is listed twice; remove o"),
    "choice_equal": ("dropout: {choice: [0, 0.0]}", "dropout.choice: 0.0 is listed twice; remove one"),
    "choice_mixed": ("batch_size: {choice: [16, '16']}", "batch_size.choice: '16' is not a whole number; give a whole"),
    "choice_truth": ("batch_size: {choice: [true, 16]}", "batch_size.choice: True is not a whole number; give a whole"),
    "choice_nested": ("optimizer: {choice: [adam, [sgd]]}", "optimizer.choice: ['sgd'] is not text; give one of sgd, "),
    "choice_unknown": ("optimizer: {choice: [adam, sgdd]}", "optimizer.choice: unknown value 'sgdd'; did you mean 'sg"),
    "choice_too_long": (f"seed: {{choice: {list(range(1001))}}}", "seed.choice: 1001 values are too many; give at mos"),
    "bare_list": ("optimizer: [adam, sgd]", "optimizer: a bare list ['adam', 'sgd']; write {choice: [a, b]} to search"),
    "architecture": ("architecture: resnet19", "architecture: unknown value 'resnet19'; did you mean 'resnet18'?"),
    "optimizer": ("optimizer: adamm", "optimizer: unknown value 'adamm'; did you mean 'adam'? known: sgd, adam, "),
    "word": ("learning_rate: fast", "learning_rate: 'fast' is not a number; give a number"),
    "nan": ("learning_rate: .nan", "learning_rate: nan is out of range; give a number"),
    "null": ("dropout:", "dropout: needs a value; give a number >= 0 and < 1"),
    "dropout_one": ("dropout: 1.0", "dropout: 1.0 is out of range; give a number >= 0 and < 1"),
    "split_zero": ("split_ratio: 0", "split_ratio: 0 is out of range; give a number <= 1 and > 0"),
    "split_above_one": ("split_ratio: 1.2", "split_ratio: 1.2 is out of range; give a number <= 1 and > 0"),
    "batch_zero": ("batch_size: 0", "batch_size: 0 is out of range; give a whole number >= 1"),
    "batch_negative": ("batch_size: -4", "batch_size: -4 is out of range; give a whole number >= 1"),
    "batch_fraction": ("batch_size: 32.5", "batch_size: 32.5 is not a whole number; give a whole number >= 1"),
    "epochs_zero": ("epochs: 0", "epochs: 0 is out of range; give a whole number >= 1"),
    "epochs_above": ("epochs: {int: [1, 20]}", "epochs: 20 is above schedule.max_epochs 10; lower it, or raise max_ep"),
    "many_sizes": ("image_size: {int: [16, 64]}", "image_size: 49 image sizes are too many; images are decoded once f"),
    "unsearchable": ("precision: {choice: [fp32, bf16]}", "precision: {'choice': ['fp32', 'bf16']} would search it, a"),
    "twice": ("dropout: 0.1\n  dropout: 0.2", "dropout: duplicate key 'dropout', also on line 2; remove one"),
}


@pytest.mark.parametrize(("written", "expected"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameter(tmp_path: Path, written: str, expected: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(complete(f"space:\n  {written}"))
    line = 2 + written.count("\n")
    assert message(path).startswith(f"s.yaml:{line}: space.{expected}")


# What stands first in the file, and the line about it, after "s.yaml:".
SECTIONS = {
    "unknown_section": ("spce: {}", "1: spce: unknown key 'spce'; did you mean 'space'? known: name, data, "),
    "parameter_at_top": ("epochs: 3", "1: epochs: unknown key 'epochs'; it belongs under space"),
    "key_elsewhere": ("schedule: {trials: 3}", "1: schedule.trials: unknown key 'trials'; it belongs under budget"),
    "unknown_data": ("data: {sorce: aoi}", "1: data.sorce: unknown key 'sorce'; did you mean 'source'? known: "),
    "number_for_section": ("space: 5", "1: space: 5 is not a section; indent its keys under it: architecture, "),
    "list_for_section": ("budget: [1]", "1: budget: [1] is not a section; indent its keys under it: trials, minutes"),
    "empty_space": ("space:", "1: space: nothing to search; give a parameter a range such as {choice: [a, b]}"),
    "only_fixed": ("space:\n  dropout: 0.1", "1: space: nothing to search; give a parameter a range"),
    "only_constant": ("space:\n  dropout: {uniform: [0.1, 0.1]}", "1: space: nothing to search; give a parameter"),
    "metric": ("objective: {metric: acuracy}", "1: objective.metric: unknown value 'acuracy'; did you mean 'accuracy'"),
    "metric_cost": ("objective: {metric: macs_g}", "1: objective.metric: macs_g is only a cost, and no training changes it; na"),
    "metric_number": ("objective: {metric: 5}", "1: objective.metric: 5 is not text; give one of accuracy, "),
    "mode": ("objective: {mode: maximum}", "1: objective.mode: unknown value 'maximum'; did you mean 'max'? known: ma"),
    "objectives_none": ("objective: []", "1: objective: a list of 0; give 1 to 3 objectives"),
    "objectives_many": (f"objective: {[{}] * 4}", "1: objective: a list of 4; give 1 to 3 objectives"),
    "objectives_text": ("objective: [accuracy, macs_g]", "1: objective.1: 'accuracy' is not a section; indent its keys under it"),
    "objectives_unknown": ("objective:\n- metric: loss\n- metric: macs", "3: objective.2.metric: unknown value 'macs'; "),
    "objectives_key": ("objective:\n- metric: loss\n- {metric: macs_g,\n   mod: min}", "4: objective.2.mod: unknown key 'mod'"),
    "objectives_twice": ("objective:\n- metric: loss\n-\n  metric: loss\n  mode: max", "4: objective.2.metric: loss is objectiv"),
    "objectives_formula": (
        "objective:\n- formula: loss * 2\n  mode: min\n- formula: lss",
        "4: objective.2.formula: unknown name 'lss'; did you mean 'loss'?",
    ),
    "objectives_cost_first": (
        "objective: [{metric: params_m}, {metric: loss}]",
        "1: objective.1.metric: params_m is only a cost, and no training changes it; name one of accuracy, ",
    ),
    "objectives_other_task": (
        "objective:\n- metric: loss\n- metric: mean_iou",
        "3: objective.2.metric: mean_iou is no metric of classification; give one of accuracy, ",
    ),
    "objectives_no_mode": (
        "objective:\n- metric: loss\n- formula: params_m * macs_g",
        "3: objective.2.mode: a formula does not say which end of it is better; give mode: min or max",
    ),
    "grace": ("schedule:\n  grace_period: 11", "2: schedule.grace_period: 11 is above max_epochs 10; lower it, or rai"),
    "baseline_list": ("baseline: [1]", "1: baseline: [1] is not a mapping; give values, such as {learning_rate: 1e-3}"),
    "baseline_unknown": ("baseline:\n  dropot: 0.1", "2: baseline.dropot: 'dropot' is not searched; did you mean 'dropout'?"),
    "baseline_outside": ("baseline:\n  dropout: 0.7", "2: baseline.dropout: 0.7 cannot be drawn from space.dropout; give 0.5"),
    "baseline_text": ("baseline: {dropout: high}", "1: baseline.dropout: 'high' is not a number; give a number >= 0 and < 1"),
    "factor": ("schedule: {reduction_factor: 1}", "1: schedule.reduction_factor: 1 is out of range; give a number"),
    "no_epochs": ("schedule: {max_epochs: 0}", "1: schedule.max_epochs: 0 is out of range; give a whole number >= 1"),
    "half_epoch": ("schedule: {max_epochs: 3.5}", "1: schedule.max_epochs: 3.5 is not a whole number; give a whole"),
    "no_trials": ("budget: {trials: 0}", "1: budget.trials: 0 is out of range; give a whole number >= 1"),
    "negative_trials": ("budget: {trials: -5}", "1: budget.trials: -5 is out of range; give a whole number >= 1"),
    "text_trials": ("budget: {trials: abc}", "1: budget.trials: 'abc' is not a whole number; give a whole number >= 1"),
    "float_trials": ("budget: {trials: 1e3}", "1: budget.trials: 1000.0 is not a whole number; give a whole number"),
    "no_minutes": ("budget: {minutes: 0}", "1: budget.minutes: 0 is out of range; give a number"),
    "negative_minutes": ("budget: {minutes: -1}", "1: budget.minutes: -1 is out of range; give a number"),
    "endless": ("budget: {minutes: .inf}", "1: budget.minutes: inf is out of range; give a number"),
    "empty_budget": ("budget:", "1: budget: no budget; give trials, minutes or gpu_hours, or several"),
    "patience_alone": ("budget: {patience: 3}", "1: budget: no budget; give trials, minutes or gpu_hours, or several"),
    "negative_top": ("finish: {top: -1}", "1: finish.top: -1 is out of range; give a whole number >= 0"),
    "no_seed": ("finish: {seeds: 0}", "1: finish.seeds: 0 is out of range; give a whole number >= 1"),
    "one_seed": ("finish: {seeds: 1, ensemble: true}", "1: finish.ensemble: one seed is no ensemble; give finish.top 1 or"),
    "no_flips": ("finish: {flips: true}", "1: finish.flips: no trial learns from mirror images; give space.horizontal_f"),
    "no_gpu_hours": ("budget: {gpu_hours: 0}", "1: budget.gpu_hours: 0 is out of range; give a number"),
    "no_patience": ("budget: {trials: 9, patience: 0}", "1: budget.patience: 0 is out of range; give a whole number >= 1"),
    "name_with_slash": ("name: a/b", "1: name: 'a/b' cannot name a search; give `name:` 1 to 64 letters, digits, "),
    "name_climbing": ("name: ../../evil", "1: name: '../../evil' cannot name a search; give"),
    "name_empty": ("name: ''", "1: name: '' cannot name a search; give"),
    "name_two_lines": ('name: "a\\n"', "1: name: 'a\\n' cannot name a search; give"),
    "name_long": (f"name: {'a' * 65}", "1: name: 'aaaaa"),
    "name_number": ("name: 3", "1: name: 3 is not text; put it in quotes"),
    "source": ("data: {source: eplv}", "1: data.source: unknown value 'eplv'; did you mean 'elpv'? known: aoi, folder"),
    "no_root": ("data: {source: folder}", "1: data.root: source folder needs it; give the folder of the data set"),
    "share": ("data:\n  val: 1.5", "2: data.val: 1.5 is out of range; give a number > 0 and < 1"),
    "shares": ("data:\n  test: 0.6\n  val: 0.5", "3: data.val: test 0.6 and val 0.5 leave nothing to train on; give"),
    "negative_gpus": ("resources: {gpus: -1}", "1: resources.gpus: -1 is out of range; give a whole number >= 0"),
    "text_gpus": ("resources: {gpus: two}", "1: resources.gpus: 'two' is not a whole number; give a whole number >= 0"),
    "uri_blank": ("tracking: {uri: ''}", "1: tracking.uri: '' is blank or unprintable; give plain text, or remove it"),
    "uri_number": ("tracking: {uri: 5}", "1: tracking.uri: 5 is not text; give text"),
    "section_twice": ("name: a\nname: b", "2: name: duplicate key 'name', also on line 1; remove one"),
    "yes_is_a_word": ("budget: {trials: yes}", "1: budget.trials: 'yes' is not a whole number; give"),
}


@pytest.mark.parametrize(("written", "expected"), SECTIONS.values(), ids=SECTIONS)
def test_section(tmp_path: Path, written: str, expected: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(complete(written))
    assert message(path).startswith(f"s.yaml:{expected}")


def test_no_budget(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(BASE["space"])
    assert message(path) == "s.yaml: budget: no budget; give trials, minutes or gpu_hours, or several"


# The bytes of a whole file, and the line about it, after "s.yaml".
FILES = {
    "empty": (b"", ": the file is empty; start from one of the files in spaces/"),
    "comments_only": (b"# nothing\n", ": the file is empty; start from one of the files in spaces/"),
    "list": (b"# a list\n- a\n- b\n", ":2: a list at the top; write sections such as `space:` and `budget:`"),
    "word": (b"hello\n", ":1: the value 'hello' at the top; write sections such as `space:` and `budget:`"),
    "not_yaml": (b"space: [1,\nbudget: }\n", ":2: not YAML at column 9 ("),
    "colons": (b"a: b: c\n", ":1: not YAML at column 5 (mapping values are not allowed"),
    "open_quote": (b'name: "x\n', ":2: not YAML at column 1 (found unexpected end of stream); check the quotes"),
    "tab": (b"space:\n\tdropout: 1\n", ":2: a tab at column 1; indent with spaces"),
    "tab_after_spaces": (b"space:\n  dropout: 1\n  \tepochs: 2\n", ":3: a tab at column 3; indent with spaces"),
    "latin_1": (b"name: a\n# gr\xf6\xdfe\n", ":2: byte 0xf6 is not UTF-8; save the file as UTF-8"),
    "utf_16": ("name: a".encode("utf-16"), ": is a binary file, not YAML text; name a space file"),
    "binary": (b"PK\x03\x04\x00\x00", ": is a binary file, not YAML text; name a space file"),
    "bell": (b"name: a\x07\n", ":1: control character '\\x07'; remove it"),
    "too_large": (b"#" * 1_000_001, ": is larger than 1,000,000 bytes; is it a space file?"),
    "too_deep": (b"[" * 100_000, ":1: nested deeper than 20 levels; flatten it"),
    "two_documents": (b"a: 1\n---\nb: 2\n", ":2: a second document starts here; keep one to a file"),
    "python_tag": (b"a: !!python/object/apply:os.system [ls]\n", ":1: tag 'tag:yaml.org,2002:python/object/apply:os.s"),
    "include": (b"a: 1\nb: !include /etc/passwd\n", ":2: tag '!include'; remove it"),
    "tagged_key": (b"!!str a: 1\n", ":1: tag 'tag:yaml.org,2002:str'; remove it"),
    "alias": (b"a: &x [1, 1]\nb: [*x, *x]\n", ":2: alias *x; write the value out"),
    "list_as_key": (b"? [a]\n: 1\n", ":1: ['a'] is no name for a key; use a plain word"),
    "key_of_two_lines": (b'"a\\nb": 1\n', ":1: 'a\\nb' is no name for a key; use a plain word"),
    "endless_number": (b"name: " + b"9" * 5000, ":1: the number 999999999999999999999999999999 has more than 15 digit"),
    "unknown_directive": (b"%YAML 2.0\n---\na: 1\n", ":1: not YAML at column 1 (found incompatible YAML document)"),
}


@pytest.mark.parametrize(("content", "expected"), FILES.values(), ids=FILES)
def test_file(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    assert message(path).startswith(f"s.yaml{expected}")


def test_missing_file_names_the_folder(tmp_path: Path) -> None:
    assert message(tmp_path / "s.yaml") == f"s.yaml: no such file in {Path.cwd()}; check the path"


def test_folder(tmp_path: Path) -> None:
    assert message(tmp_path) == f"{tmp_path.name}: is a folder; name a YAML file in it"


def test_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.yaml")
    assert message(tmp_path / "s.yaml") == "s.yaml: is a FIFO, not a file; name a YAML file"


def test_a_pipe_of_the_shell_is_read(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"hello\n")
    os.close(theirs)
    assert "the value 'hello' at the top" in message(Path(f"/dev/fd/{ours}"))
    os.close(ours)


def test_file_name_that_cannot_name_a_search(tmp_path: Path) -> None:
    path = tmp_path / "my space.yaml"
    path.write_text(complete(""))
    assert message(path).startswith("my space.yaml: name: 'my space' cannot name a search; give `name:` 1 to 64")


OVERRIDES = {
    "no_equals": ("space.dropout", "--set space.dropout: no KEY=VALUE; write it like space.learning_rate=0.01"),
    "no_key": ("=1", "--set =1: no KEY=VALUE; write it like"),
    "empty_part": ("space..dropout=1", "--set space..dropout=1: no KEY=VALUE; write it like"),
    "unknown": ("space.dropot=1", "--set space.dropot=1: space.dropot: unknown key 'dropot'; did you mean 'dropout'?"),
    "unknown_and_deeper": ("space.a.b.c=1", "--set space.a.b.c=1: space.a: unknown key 'a'; known: "),
    "below_a_value": ("budget.trials.x=3", "--set budget.trials.x=3: budget.trials: {'x': 3} is not a whole number; give"),
    "value": ("space.dropout=1", "--set space.dropout=1: space.dropout: 1 is out of range; give a number >= 0 and < 1"),
    "range": (
        "space.dropout={uniform: [0.5, 0]}",
        "--set space.dropout={uniform: [0.5, 0]}: space.dropout.uniform: low 0.5 is above high 0; swap them",
    ),
    "not_yaml": ("space.dropout={a", "--set space.dropout={a: not YAML at column "),
    "key_of_two_lines": ("a\nb=1", "--set 'a\\nb=1': no KEY=VALUE; write it like"),
    "two_lines": ("space.dropout=1\n2", "--set 'space.dropout=1\\n2': space.dropout: '1 2' is not a number"),
}


@pytest.mark.parametrize(("assignment", "expected"), OVERRIDES.values(), ids=OVERRIDES)
def test_override(tmp_path: Path, assignment: str, expected: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(complete(""))
    assert message(path, (assignment,)).startswith(expected)


def test_image_too_small_for_an_architecture(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(complete("space:\n  architecture: {choice: [conv3_fc2, alexnet_small]}\n  image_size: 32"))
    with pytest.raises(SpaceError, match=r"s\.yaml:3: space\.image_size: 32 is too small for alexnet_small; give \d+"):
        make_plan(load_space(path))


PROBLEMS = {
    "key": (BadInput("0 is no share; give more", key="data.val"), "s.yaml:7: data.val: 0 is no share; give more"),
    "named_twice": (BadInput("val: 0 is no share", key="data.val"), "s.yaml:7: data.val: 0 is no share"),
    "own_file": (BadInput("no image", key="data.root", file="train.csv", line=3), "train.csv:3: data.root: no image"),
    "file_alone": (BadInput("is cut off", file="a.png"), "a.png: is cut off"),
}


@pytest.mark.parametrize(("problem", "expected"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_bad_input_finds_its_place(problem: BadInput, expected: str) -> None:
    assert str(SpaceError.of(problem, lambda key: "s.yaml:7")) == expected
