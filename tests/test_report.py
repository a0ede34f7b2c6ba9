"""The report on finished, failed and stopped searches: every figure and table of the page against the record itself."""

from __future__ import annotations

import base64
import copy
import csv
import dataclasses
import html
import json
import random
import shutil
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image
from scipy.stats import ttest_ind

from search import cli
from search.endings import Ending, Kind, State
from search.errors import NoUsableTrial
from search.progress import clock_text, score_text, short
from search.record import read_record
from search.report import write_report
from search.report.answer import count
from search.report.contents import costs, tiles, worth
from search.report.facts import Facts, Priced, front, gain, read_facts
from search.report.importance import ENOUGH, importances
from search.run import run_search
from search.space import load_space
from search.trials import Trial, Trials
from tests import fits
from tests.conftest import draw
from tests.test_run import query
from trainables.cost import cost

HARD = "a<b"  # name of a class that is no HTML
SPACE = """\
name: shown
data: {{source: folder, root: {root}, test: 0.25, val: 0.25}}
space:
  architecture: {{choice: [simple_cnn, conv3_fc2]}}
  optimizer: {{choice: [adam, {{sgd: {{momentum: {{uniform: [0, 0.9]}}}}}}]}}
  learning_rate: {{loguniform: [1e-4, 1e-2]}}
  split_ratio: {{choice: [0.7, 1.0]}}
  horizontal_flip: {{choice: [0, 0.5]}}
  batch_size: 8
  image_size: 16
  precision: fp32
schedule: {{max_epochs: 4, grace_period: 1, reduction_factor: 2}}
budget: {{trials: 14}}
"""


@dataclass
class Page(HTMLParser):
    """What stands in a page: its figures as Plotly has them, its tables, pictures and words, by id."""

    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    words: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._figure, self._table, self._cell, self._text = None, None, None, True

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        match tag:
            case "script":
                self._figure, self._text = given.get("data-figure"), False
            case "style":
                self._text = False
            case "table":
                self._table = self.tables.setdefault(given["id"].removeprefix("table-"), [])
            case "tr":
                self._table.append([])
            case "td" | "th":
                self._cell = ""
            case "img":
                self.pictures.append(given["src"])
            case "figcaption":
                self.captions.append("")

    def handle_data(self, text: str) -> None:
        if self._figure:
            self.figures[self._figure.removeprefix("figure-")] = json.loads(text)
        elif self._text:
            self.words += text
            if self._cell is not None:
                self._cell += text
            if self.captions:
                self.captions[-1] += text

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._figure, self._text = None, True
        if tag in ("td", "th"):
            self._table[-1].append(self._cell)
            self._cell = None


def read_page(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page


@dataclass
class Raw:
    """A trial as the lines of the record tell it, read without the project's own reader."""

    params: dict[str, Any]
    config: dict[str, Any]
    began: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    ending: dict[str, Any] | None = None
    ended: float | None = None

    @property
    def state(self) -> str:
        return self.ending["state"]

    @property
    def last(self) -> float:
        return self.rows[-1]["accuracy"]


def read_raw(folder: Path) -> dict[int, Raw]:
    trials: dict[int, Raw] = {}
    for event in map(json.loads, (folder / "record.jsonl").read_text().splitlines()):
        match event["event"]:
            case "begin":
                trials[event["number"]] = Raw(event["params"], event["config"], event["at"])
            case "epoch":
                trials[event["number"]].rows.append(event["row"])
            case "end":
                trial = trials[event["number"]]
                trial.ending, trial.ended = event["ending"], event["at"]
    return trials


def write_hard_images(root: Path) -> Path:
    """Write two classes of which some images look like the other's, one of them twice, under both."""
    generator = np.random.default_rng(0)
    for label, name in enumerate((HARD, "lower")):
        (root / name).mkdir(parents=True)
        for number in range(40):
            shown = 1 - label if number % 5 == 4 else label
            Image.fromarray(draw(shown, generator)).save(root / name / f"{number:02}.png")
    shutil.copy(root / HARD / "00.png", root / "lower" / "copy.png")
    return root


@dataclass
class Shown:
    """A finished search: its folder, its page, its record and its summary."""

    folder: Path
    page: Page
    raw: dict[int, Raw]
    summary: dict[str, Any]
    facts: Facts

    def cost(self, trial: Raw) -> Any:
        return cost(trial.config["architecture"], 1, 2, 16)


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Shown:
    """One real search over a conditional space, on data with wrong labels."""
    place = tmp_path_factory.mktemp("report")
    root = write_hard_images(place / "data")
    (place / "shown.yaml").write_text(SPACE.format(root=root))
    outcome = run_search(load_space(place / "shown.yaml"), results=place / "results")
    folder = place / "results" / outcome.name
    summary = json.loads((folder / "search.json").read_text())
    return Shown(folder, read_page(folder / "report.html"), read_raw(folder), summary, read_facts(folder))


# Each figure and table against the record

def points(figure: dict[str, Any], *, lines: bool = False) -> Counter[tuple]:
    """Return the points of a figure's traces as (trial, x, y), rounded; those of lines only if asked for."""
    found: Counter[tuple] = Counter()
    for trace in figure["data"]:
        if lines or trace["mode"] == "markers":
            for trial, x, y in zip(values_of(trace["customdata"]), values_of(trace["x"]), values_of(trace["y"]), strict=True):
                if y is not None:
                    found[trial, rounded(x), rounded(y)] += 1
    return found


def values_of(array: Any) -> list[Any]:
    """Return an array of a figure as a list: Plotly writes numbers as base64."""
    if not isinstance(array, dict):
        return array
    values = np.frombuffer(base64.b64decode(array["bdata"]), np.dtype(array["dtype"]))
    return values.reshape([int(side) for side in array["shape"].split(",")] if "shape" in array else -1).tolist()


def rounded(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


def check_best(shown: Shown, figure: dict[str, Any]) -> None:
    assert points(figure) == Counter((number, rounded(trial.ended / 60), rounded(trial.ending["value"]))
                                     for number, trial in shown.raw.items())
    line, best, expected = figure["data"][-1], None, []
    for trial in sorted(shown.raw.values(), key=lambda trial: trial.ended):
        if trial.state == "COMPLETE":
            best = max(filter(None, (best, trial.last)))
        expected += [best] if best is not None else []
    assert line["name"] == "best finished" and values_of(line["y"]) == expected


def check_curves(shown: Shown, figure: dict[str, Any]) -> None:
    assert points(figure, lines=True) == Counter(
        (number, row["epoch"], rounded(row["accuracy"])) for number, trial in shown.raw.items() for row in trial.rows)
    [best] = [trace for trace in figure["data"] if trace["name"].startswith("the best")]
    assert set(values_of(best["customdata"])) == {shown.summary["trial"]}
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [1, 2]


def check_timeline(shown: Shown, figure: dict[str, Any]) -> None:
    bars = {number: (rounded(first), rounded(first + wide)) for trace in figure["data"] for number, first, wide in
            zip(values_of(trace["y"]), values_of(trace["base"]), values_of(trace["x"]), strict=True)}
    assert bars == {number: (pytest.approx(trial.began / 60), pytest.approx(trial.ended / 60))
                    for number, trial in shown.raw.items()}


def check_confusion(shown: Shown, figure: dict[str, Any]) -> None:
    [heat] = figure["data"]
    assert values_of(heat["text"]) == shown.summary["details"]["confusion"]
    assert [html.unescape(name) for name in heat["y"]] == [HARD, "lower"]
    rows = np.array(shown.summary["details"]["confusion"])
    np.testing.assert_allclose(values_of(heat["z"]), rows / rows.sum(1, keepdims=True))


def check_parallel(shown: Shown, figure: dict[str, Any]) -> None:
    """A line a trial after the latest epoch to which enough of them came for an importance."""
    lines = [trace for trace in figure["data"] if trace.get("customdata")]
    found = Counter(float(dict(map(tuple, trace["customdata"]))["accuracy"]) for trace in lines)
    expected = next(values for epoch in (4, 2, 1) if len(values := found_at(shown, epoch)) >= ENOUGH)
    assert sorted(found.elements()) == pytest.approx(sorted(expected), rel=1e-4)


def found_at(shown: Shown, epoch: int) -> list[float]:
    return [row["accuracy"] for trial in shown.raw.values() for row in trial.rows if row["epoch"] == epoch]


def check_importance(shown: Shown, figure: dict[str, Any]) -> None:
    [bar] = figure["data"]
    assert set(bar["y"]) <= {"architecture", "optimizer", "momentum", "learning_rate", "split_ratio", "horizontal_flip"}
    assert sum(values_of(bar["x"])) == pytest.approx(1) and values_of(bar["x"]) == sorted(values_of(bar["x"]))


def check_slice(shown: Shown, name: str, figure: dict[str, Any]) -> None:
    expected = Counter()
    for number, trial in shown.raw.items():
        if name in trial.params:
            value = trial.params[name]
            expected[number, rounded(value), rounded(trial.last)] += 1
    assert points(figure) == expected


def check_price(shown: Shown, attribute: str, figure: dict[str, Any]) -> None:
    priced = {number: getattr(shown.cost(trial), attribute) for number, trial in shown.raw.items()}
    assert points(figure) == Counter((number, priced[number], rounded(trial.last)) for number, trial in shown.raw.items())
    finished = {number: trial.last for number, trial in shown.raw.items() if trial.state == "COMPLETE"}
    merits = {number: (finished[number], -priced[number]) for number in finished}
    beaten = {one for one in merits for other in merits.values()
              if other != merits[one] and other[0] >= merits[one][0] and other[1] >= merits[one][1]}
    [line] = [trace for trace in figure["data"] if trace["name"] == "front"]
    front = {(priced[number], finished[number]) for number in finished.keys() - beaten}
    assert set(zip(values_of(line["x"]), values_of(line["y"]), strict=True)) == front
    assert set(values_of(line["customdata"])) <= finished.keys() - beaten


def check_ratio(shown: Shown, figure: dict[str, Any]) -> None:
    finished = {number: trial for number, trial in shown.raw.items() if trial.state == "COMPLETE"}
    assert points(figure) == Counter((number, trial.config["split_ratio"], rounded(trial.last))
                                     for number, trial in finished.items())
    means = dict(zip(values_of(figure["data"][1]["x"]), values_of(figure["data"][1]["y"]), strict=True))
    assert means == {ratio: pytest.approx(statistics.fmean(trial.last for trial in finished.values()
                                                           if trial.config["split_ratio"] == ratio)) for ratio in means}


FIGURES: dict[str, Callable[[Shown, dict[str, Any]], None]] = {
    "best": check_best, "curves": check_curves, "timeline": check_timeline, "confusion": check_confusion,
    "parallel": check_parallel, "importance-0": check_importance, "ratio": check_ratio,
    "macs": lambda shown, figure: check_price(shown, "thop_macs", figure),
    "parameters": lambda shown, figure: check_price(shown, "params", figure),
}  # fmt: skip
SLICES = ("architecture", "optimizer", "momentum", "learning_rate", "split_ratio", "horizontal_flip")


def test_every_figure_is_the_record(shown):
    told = any(name.startswith("importance-") for name in shown.page.figures)
    assert told or "too few, or too alike, to say which parameters mattered" in shown.page.words
    assert shown.page.figures.keys() >= {*FIGURES.keys() - {"importance-0"}, *(f"slice-{name}" for name in SLICES)}
    for name, figure in shown.page.figures.items():
        if name.startswith("slice-"):
            check_slice(shown, name.removeprefix("slice-"), figure)
        else:
            FIGURES["importance-0" if name.startswith("importance-") else name](shown, figure)


def test_the_table_of_trials_is_the_record(shown):
    heads, *rows = shown.page.tables["trials"]
    assert heads == ["trial", "state", "epochs", "accuracy", *SLICES]
    assert len(rows) == len(shown.raw) == 14
    for number, state, epochs, value, *params in rows:
        trial = shown.raw[int(number)]
        assert (state, int(epochs), value) == (trial.state, len(trial.rows), score_text(trial.last))
        assert params == [short(trial.params[name]) if name in trial.params else "-" for name in SLICES]
    assert int(rows[0][0]) == shown.summary["trial"]


def test_the_comparison_is_that_of_its_files(shown):
    heads, *rows = shown.page.tables["comparison"]
    with (shown.folder / "comparison.csv").open() as file:
        written = list(csv.DictReader(file))
    finished = [trial for trial in shown.raw.values() if trial.state == "COMPLETE"]
    for row, line in zip(rows, written, strict=True):
        group = [trial for trial in finished if [trial.params["architecture"], trial.params["optimizer"]] == row[:2]]
        assert row[2] == line["trials"] == str(len(group))
        assert row[4] == score_text(statistics.fmean(trial.last for trial in group)) == score_text(float(line["accuracy"]))
        assert row[6] == f"{shown.cost(group[0]).params:,}" and row[7] == f"{shown.cost(group[0]).thop_macs:,}"
    assert sum(int(row[2]) for row in rows) == len(finished)
    latex = (shown.folder / "comparison.tex").read_text()
    assert latex.count("\\\\") == len(rows) + 1 and "simple\\_cnn" in latex


def test_the_rungs_are_the_record(shown):
    _, *rows = shown.page.tables["rungs"]
    assert [int(row[0]) for row in rows] == [1, 2]
    for epoch, reached, stopped, passed, best, _ in rows:
        lengths = Counter(len(trial.rows) for trial in shown.raw.values())
        assert int(reached) == sum(count for length, count in lengths.items() if length >= int(epoch))
        assert int(stopped) == lengths[int(epoch)] and int(passed) == int(reached) - int(stopped)
        assert best == score_text(max(found_at(shown, int(epoch))))
    correlations = {check["epoch"]: check["correlation"] for check in shown.summary["rungs"]}
    assert [row[5].split()[0] for row in rows] == [f"{correlations[int(row[0])]:.2f}" for row in rows]


def test_ends_and_times_are_the_record(shown):
    ways = Counter((trial.state, trial.ending["kind"] or "-") for trial in shown.raw.values())
    assert {(state, kind): int(count) for state, kind, count, _ in shown.page.tables["endings"][1:]} == ways
    for state, trials, epochs, seconds, _ in shown.page.tables["time"][1:]:
        group = [trial for trial in shown.raw.values() if trial.state == state]
        assert (int(trials), int(epochs)) == (len(group), sum(len(trial.rows) for trial in group))
        assert float(seconds) == pytest.approx(sum(row["seconds"] for trial in group for row in trial.rows), abs=0.06)
    assert sum(float(row[4].rstrip("%")) for row in shown.page.tables["time"][1:]) == pytest.approx(100, abs=1.1)


def test_the_sealed_rows_are_those_of_the_summary(shown):
    (_, *rows), confusion = shown.page.tables["classes"], shown.summary["details"]["confusion"]
    assert [row[0] for row in rows] == [HARD, "lower"]
    for index, row in enumerate(rows):
        assert [int(row[1]), int(row[2])] == [sum(confusion[index]), confusion[index][index]]
        assert row[3].startswith(f"{confusion[index][index] / sum(confusion[index]):.1%} (")
    low, high = shown.summary["test_interval"]
    assert f"is right on {shown.summary['test']:.2%} of {shown.summary['test_rows']} sealed images" in shown.page.words
    assert f"(95 % interval {low:.2%} to {high:.2%})" in shown.page.words
    guessed = max(map(sum, confusion)) / sum(map(sum, confusion))
    assert f"{guessed:.2%} of always naming the most frequent class" in shown.page.words


def test_the_ratios_are_the_record(shown):
    for ratio, images, trials, mean, _ in shown.page.tables["ratio"][1:]:
        group = [trial.last for trial in shown.raw.values()
                 if trial.state == "COMPLETE" and trial.config["split_ratio"] == float(ratio)]
        assert int(trials) == len(group) and mean == score_text(statistics.fmean(group))
        assert int(images) == round(float(ratio) * shown.facts.about.pool)


def test_the_data_is_told_with_its_copies_and_conflicts(shown):
    told = dict(shown.page.tables["data"][1:])
    assert told["images"] == "81 of 16×16 pixels, grey" and told["fingerprint"] == shown.facts.record.data
    assert told["exact copies"].startswith("1,") and told["label conflicts"].startswith("1 groups")
    assert dict(shown.page.tables["tally"][1:]) == {HARD: "40", "lower": "41"}
    [[names]] = shown.page.tables["conflicts"][1:]
    assert set(names.split(", ")) == {f"{HARD}/00.png", "lower/copy.png"}


def test_what_is_needed_to_do_it_again(shown, tmp_path):
    config = dict(shown.page.tables["config"][1:])
    assert config == {key: "-" if value is None else str(value) for key, value in shown.summary["config"].items()}
    assert dict(shown.page.tables["origin"][1:])["torch"] == shown.facts.record.versions["torch"]
    (tmp_path / "space.yaml").write_text(shown.page.words.split("# space.yaml\n")[1])
    assert load_space(tmp_path / "space.yaml").as_dict() == load_space(shown.folder.parents[1] / "shown.yaml").as_dict()
    assert yaml.safe_load((tmp_path / "space.yaml").read_text())["budget"] == {"trials": 14}


def test_what_the_finish_came_to_is_that_of_the_summary(shown):
    for trial, seeds, mean, values, failed in shown.page.tables["candidates"][1:]:
        [one] = [one for one in shown.summary["candidates"] if one["trial"] == int(trial)]
        assert (int(seeds), int(failed), mean) == (len(one["values"]), one["failed"], score_text(one["mean"]))
        assert values.split(", ") == [score_text(value) for value in one["values"]]
    for (file, size, times, _), export in zip(shown.page.tables["exports"][1:], shown.summary["exports"], strict=True):
        assert file == export["file"]
        assert export["problem"] or size == f"{export['bytes'] / 1e6:.2f}" and times.count(": ") == len(export["latency_ms"])
    if baseline := shown.summary["baseline"]:
        assert f"(p = {baseline['gain']['p']:.2g}, {baseline['gain']['method']})" in shown.page.words


def test_the_head_of_the_page_is_the_summary(shown):
    summary = shown.summary
    best, states = shown.raw[summary["trial"]], Counter(trial.ending["state"] for trial in shown.raw.values())
    price, (low, high) = shown.cost(best), map(score_text, summary["test_interval"])
    interval = f"95 % interval {low} to {high} (Wilson)"
    assert [(tile.value, tile.words) for tile in tiles(shown.facts)] == [
        (score_text(summary["test"]), f"accuracy on {summary['test_rows']} sealed images; {interval}"),
        (score_text(summary["val"]), "on the validation rows, as the best of all trials: it flatters"),
        ("14", f"trials: {states['COMPLETE']} complete, {states['PRUNED']} stopped early, {states['FAILED']} failed"),
        (clock_text(summary["seconds"]), "minutes and seconds; all trials of the budget were run"),
        (count(price.params), "parameters of the best"), (count(price.thop_macs), "multiply-accumulates an image"),
    ]
    assert all(tile.value in shown.page.words and tile.words in shown.page.words for tile in tiles(shown.facts))


def test_what_was_scored_beside_the_model_is_that_of_the_summary(shown):
    score = {"value": 0.9, "interval": [0.8, 0.95], "method": "Wilson"}
    facts = dataclasses.replace(shown.facts, summary={**shown.facts.summary, "extras": {"ensemble": score}})
    [table] = [table for table in worth(facts).tables if table.id == "extras"]
    assert table.rows == [["ensemble", "0.9000", "0.8000 to 0.9500", "Wilson"]]


def test_all_of_the_page_was_compared(shown):
    assert shown.page.tables.keys() == {
        "trials", "comparison", "rungs", "endings", "time", "classes", "ratio", "data", "tally", "conflicts", "config", "origin",
        "candidates", "exports"}


def test_mistakes_are_the_sealed_rows_that_the_model_gets_wrong(shown):
    confusion = shown.summary["details"]["confusion"]
    wrong = sum(map(sum, confusion)) - confusion[0][0] - confusion[1][1]
    assert 0 < wrong <= 12 and f"the model is wrong on {wrong}." in shown.page.words
    assert len(shown.page.pictures) == len(shown.page.captions) == wrong
    assert all(source.startswith("data:image/webp;base64,") for source in shown.page.pictures)
    by_truth = Counter(caption.split(", taken for")[0].strip() for caption in shown.page.captions)
    expected = {HARD: confusion[0][1], "lower": confusion[1][0]}
    assert by_truth == {name: count for name, count in expected.items() if count}


def test_mlflow_has_the_page(shown):
    [(place,)] = query(shown.folder.parent / "mlflow.db",
                       f"select artifact_uri from runs where run_uuid = '{shown.summary['run_id']}'")
    kept = Path(place.removeprefix("file://"))
    assert (kept / "report.html").read_bytes() == (shown.folder / "report.html").read_bytes()
    assert {"comparison.csv", "comparison.md", "comparison.tex", "table.tex"} <= {path.name for path in kept.iterdir()}


def test_the_page_asks_for_nothing(shown):
    text = (shown.folder / "report.html").read_text()
    assert "default-src 'none'" in text and "<link" not in text.replace('<link rel="icon" href="data:,">', "")
    assert all(source.startswith("data:") for source in shown.page.pictures) and "<script src" not in text


# By hand

def test_a_parameter_that_decides_everything_matters_most(shown):
    """The value is one for adam and zero for sgd, whatever else a trial has; under sgd, the momentum decides."""
    generator, space = random.Random(0), shown.facts.space
    trials = Trials("accuracy", "max")
    for number in range(120):
        params = space.draw(lambda name, form: generator.choice(form.grid() or [generator.uniform(form.low, form.high)]))
        value = 1.0 + number / 1e6 if params["optimizer"] == "adam" else params["momentum"]
        trials.add(Trial(number, params, space.trial_config(params), [{"epoch": 4, "accuracy": value}]))
    facts = dataclasses.replace(shown.facts, record=dataclasses.replace(shown.facts.record, trials=trials))
    (everything, shares), (sgd, under) = importances(facts)
    assert len(everything.trials) == 120 and everything.when == "after epoch 4" and next(iter(shares)) == "optimizer"
    assert sgd.under == "optimizer=sgd" and {trial.params["optimizer"] for trial in sgd.trials} == {"sgd"}
    assert next(iter(under)) == "momentum" and under["momentum"] > 0.5


def test_the_gain_of_more_images_is_welchs(shown):
    """Against scipy, on scores made up for the finished trials."""
    facts, scores = copy.deepcopy(shown.facts), {0.7: [0.5, 0.6, 0.9], 1.0: [0.8, 0.85]}
    made = iter([(ratio, score) for ratio, values in scores.items() for score in values])
    for trial, (ratio, score) in zip(facts.trials, made):
        trial.config = dataclasses.replace(trial.config, split_ratio=ratio)
        trial.ending = Ending(State.COMPLETE, value=score)
    for trial in [trial for trial in facts.trials if trial.number >= 5]:
        trial.ending = Ending(State.PRUNED, Kind.SCHEDULER, 0.1)
    interval = ttest_ind(scores[1.0], scores[0.7], equal_var=False).confidence_interval()
    assert gain(facts, "split_ratio") == pytest.approx((0.825 - 2 / 3, interval.low, interval.high))


def test_the_front_by_hand(shown):
    points = [Priced(0, "COMPLETE", 0.5, 10, 1), Priced(1, "COMPLETE", 0.4, 20, 2), Priced(2, "COMPLETE", 0.9, 30, 3),
              Priced(3, "PRUNED", 0.99, 5, 1), Priced(4, "COMPLETE", 0.9, 30, 4), Priced(5, "COMPLETE", 0.6, 10, 9)]
    assert [point.trial for point in front(shown.facts, points, "parameters")] == [5, 2]
    assert [point.trial for point in front(shown.facts, points, "macs")] == [0, 2]


def test_a_front_of_several_objectives_is_that_of_the_summary(shown):
    points = [{"trial": 3, "values": {"accuracy": 0.9, "macs_m": 2.5}, "architecture": "simple_cnn", "params": {}}]
    volume = {"value": 1.25, "reference": {"accuracy": 0.0, "macs_m": 5.0}, "history": []}
    facts = dataclasses.replace(shown.facts, summary={**shown.summary, "front": points, "hypervolume": volume})
    [table] = [table for table in costs(facts).tables if table.id == "front"]
    assert table.heads == ["trial", "accuracy", "macs_m", "architecture"]
    assert table.rows == [["3", "0.9000", "2.5000", "simple_cnn"]]
    assert "hypervolume 1.2500, of what is better than accuracy 0.0000 and macs_m 5.0000" in table.words


# Searches of other kinds

def test_where_the_data_is_gone_the_page_says_so(shown, tmp_path, capsys):
    folder = tmp_path / "results" / "shown"
    shutil.copytree(shown.folder, folder)
    data = shown.folder.parents[1] / "data"
    data.rename(data.with_name("moved"))
    try:
        arguments = ["report", "shown", "--results", str(tmp_path / "results"), "-o", str(tmp_path / "page.html")]
        assert cli.main([*arguments, "--json"]) == 0
    finally:
        data.with_name("moved").rename(data)
    assert json.loads(capsys.readouterr().out) == {"report": str(tmp_path / "page.html")}
    page = read_page(tmp_path / "page.html")
    assert "The images cannot be shown:" in page.words and "does not exist" in page.words and not page.pictures
    assert page.figures == shown.page.figures
    assert page.tables == {name: table for name, table in shown.page.tables.items() if name != "conflicts"}


@pytest.mark.slow
def test_a_search_in_which_all_failed(space_file, tmp_path):
    space = load_space(space_file, ["space.batch_size=2", "budget.trials=1"])
    with pytest.raises(NoUsableTrial):
        run_search(space, results=tmp_path, fit=fits.faulty)
    page = read_page(write_report(tmp_path / "tiny"))
    assert "This search is failed: no trial came to a score" in page.words
    assert page.tables["endings"][1:] == [["FAILED", "error", "1", "a bad day"]] and not page.pictures
    assert page.figures.keys() == {"best", "curves", "timeline", "macs", "parameters", "slice-learning_rate"}


@pytest.mark.slow
def test_a_grid_of_one_trial(space_file, tmp_path):
    space = load_space(space_file, ["search=grid", "space.learning_rate=0.01", "space.batch_size={choice: [8, 16]}",
                                    "budget.trials=1", "schedule.max_epochs=1"])
    run_search(space, results=tmp_path)
    page = read_page(tmp_path / "tiny" / "report.html")
    assert len(page.tables["trials"]) == 2 and "rungs" not in page.tables
    assert "The trials are too few, or too alike, to say which parameters mattered." in page.words


@pytest.mark.parametrize(("words", "expected"), [
    (["none"], "no search named 'none'; there: shown"),
    (["shown", "-o", "nowhere/page.html"], "nowhere/page.html: cannot be written (No such file or directory); give another -o"),
], ids=["name", "file"])  # fmt: skip
def test_mistakes_are_one_line(words, expected, shown, capsys):
    assert cli.main(["report", *words, "--results", str(shown.folder.parent)]) == 2
    told = capsys.readouterr().err
    assert expected in told and told.count("\n") == 1


def test_mlflows_runs_can_be_filtered_by_what_they_are_and_what_became_of_them(shown):
    client, trials = MlflowClient(tracking_uri=shown.summary["tracking"]), list(read_record(shown.folder).trials)

    def found(wanted: str) -> set[int]:
        runs = client.search_runs([shown.summary["experiment_id"]], f"{wanted} and tags.search = 'shown'")
        return {int(run.data.tags["trial"]) for run in runs}

    assert found("tags.best = 'true'") == {shown.summary["trial"]}
    for name in ("simple_cnn", "conv3_fc2"):
        assert found(f"tags.architecture = '{name}'") == {t.number for t in trials if t.config.architecture == name}
    for state in State:
        assert found(f"tags.state = '{state}'") == {t.number for t in trials if t.ending.state is state}
    for rung, epochs in ((1, {1}), (2, {2, 3, 4})):
        assert found(f"tags.rung = '{rung}'") == {t.number for t in trials if t.epoch in epochs}
    nested = found(f"tags.`mlflow.parentRunId` = '{shown.summary['run_id']}'")
    assert nested == {t.number for t in trials}
