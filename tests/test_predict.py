"""`predict` with a model's two files, and those files when something is wrong with them."""

from __future__ import annotations

import csv
import dataclasses
import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search import cli
from search.folder import write_summary
from tests.conftest import draw
from trainables.card import CARD, WEIGHTS, Card, write_model
from trainables.config import TrialConfig
from trainables.data import DataConfig, scan, split, trial_data
from trainables.data.aoi import CLASSES
from trainables.errors import BadInput
from trainables.export import read_model, task_of
from trainables.fit import fit
from trainables.models import build
from trainables.onnx_file import write_onnx
from trainables.tasks import Target
from trainables.trial import save


def make_model(folder: Path, images: Path, classes: tuple[str, ...]) -> Path:
    """Train a tiny network on ``images`` and leave it where a finished search would."""
    catalog = scan(DataConfig(source="folder", root=str(images)))
    data = trial_data(catalog, split(catalog, 0.15, 0.15, 0), [16])[16]
    config = TrialConfig(architecture="simple_cnn", image_size=16, batch_size=8, epochs=4, precision="fp32")
    *_, last = fit(config, data)
    assert last.scores["accuracy"] == 1
    folder.mkdir(parents=True)
    save(folder / "last.safetensors", last.model)
    card = Card("simple_cnn", 1, 16, Target("classification", classes), 0.0, dataclasses.asdict(config))
    write_model(folder / "model", folder / "last.safetensors", card)
    write_summary(folder, {"name": folder.name, "state": "complete"})
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory, images) -> Path:
    folder = tmp_path_factory.mktemp("predict") / "results"
    make_model(folder / "tiny", images, ("left", "lower"))
    return folder


@pytest.fixture
def parts(tmp_path) -> Path:
    """Two unseen images, the first of class left and the second of class lower."""
    generator = np.random.default_rng(7)
    for label, name in enumerate(("a.png", "b.png")):
        Image.fromarray(draw(label, generator, 24)).save(tmp_path / name)
    return tmp_path


def test_one_image_prints_class_and_probability(results, parts, capsys):
    assert cli.main(["predict", "tiny", str(parts / "a.png"), "--results", str(results)]) == 0
    path, name, probability = capsys.readouterr().out.split()
    assert path == f"{parts / 'a.png'}:" and name == "left" and 0.5 < float(probability) <= 1


def test_the_latest_search_is_used_where_none_is_named(results, parts, capsys):
    assert cli.main(["predict", str(parts / "b.png"), "--results", str(results), "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["class"] == "lower" and sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_folder_becomes_a_csv(results, parts, capsys):
    out = parts / "out.csv"
    assert cli.main(["predict", "tiny", str(parts), "-o", str(out), "--results", str(results)]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(Path(row["image"]).name, row["class"]) for row in rows] == [("a.png", "left"), ("b.png", "lower")]
    assert list(rows[0]) == ["image", "class", "probability", "left", "lower"]


@pytest.mark.parametrize(("terminal", "batch", "shown"), [("1", 1, True), ("1", 256, False), ("0", 1, False)],
                         ids=["a terminal", "a single batch", "no terminal"])
def test_a_bar_shows_how_far_it_is(terminal, batch, shown, results, parts, monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)  # by which rich takes standard error for a terminal
    monkeypatch.setattr("search.predict.BATCH", batch)
    assert cli.main(["predict", "tiny", str(parts), "--results", str(results)]) == 0
    assert ("predicting" in capsys.readouterr().err) is shown


def test_aideas_test_csv_is_filled_in(tmp_path, results, images, capsys):
    make_model(results / "aidea", images, CLASSES[:2])
    root = tmp_path / "aidea"
    (root / "test_images").mkdir(parents=True)
    generator = np.random.default_rng(3)
    for number, label in enumerate((1, 0, 1)):
        Image.fromarray(draw(label, generator)).save(root / "test_images" / f"test_{number}.png")
    given = "ID,Label\ntest_2.png,\ntest_1.png,\ntest_0.png,\n"
    (root / "test.csv").write_text(given)
    assert cli.main(["predict", "aidea", str(root), "-o", str(tmp_path / "test.csv"), "--results", str(results)]) == 0
    assert (tmp_path / "test.csv").read_text() == "ID,Label\ntest_2.png,1\ntest_1.png,0\ntest_0.png,1\n"
    assert (root / "test.csv").read_text() == given
    assert capsys.readouterr().out == f"{tmp_path / 'test.csv'}: 3 labels filled in\n"


@pytest.mark.parametrize("name", ["model", "model/model.json", "model/model.safetensors", "model/model.onnx"])
def test_a_model_is_used_from_wherever_its_files_are(name, results, parts, tmp_path, capsys):
    folder = tmp_path / "elsewhere"
    shutil.copytree(results / "tiny" / "model", folder / "model")
    model, card = read_model(folder / "model")
    write_onnx(folder / "model" / "model.onnx", model, task_of(card), card)
    if name.endswith(".onnx"):
        (folder / "model" / CARD).unlink()
    assert cli.main(["predict", str(folder / name), str(parts / "b.png"), "--results", str(tmp_path / "none"), "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["class"] == "lower"


def test_images_may_have_names_that_are_not_utf8(results, parts, tmp_path, capsysbinary):
    """As those of an archive that was packed elsewhere."""
    folder, name = tmp_path / "packed", os.fsdecode(b"\xa6\x42.png")
    folder.mkdir()
    shutil.copy(parts / "b.png", folder / name)
    for words in ([], ["--json"], ["-o", str(tmp_path / "out.csv")]):
        assert cli.main(["predict", "tiny", str(folder), "--results", str(results), *words]) == 0
    assert os.fsencode(name) in (tmp_path / "out.csv").read_bytes()


def test_a_csv_gets_the_answers_as_further_columns(results, parts, capsys):
    (parts / "list.csv").write_text("part;photo\n7;b.png\n9;a.png\n")
    command = ["predict", "tiny", str(parts / "list.csv"), "--image-column", "photo", "--results", str(results)]
    assert cli.main(command) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines(), delimiter=";"))
    assert [(row["part"], row["photo"], row["class"]) for row in rows] == [("7", "b.png", "lower"), ("9", "a.png", "left")]
    assert cli.main(command[:-4] + ["--results", str(results)]) == 2
    assert f"{parts / 'list.csv'}:1: --image-column: no column 'image'" in capsys.readouterr().err


def test_a_csv_may_be_named_from_the_current_directory(results, parts, monkeypatch, capsys):
    (parts / "list.csv").write_text("image\nb.png\n")
    monkeypatch.chdir(parts)
    assert cli.main(["predict", "tiny", "list.csv", "--results", str(results), "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["image"], row["class"]) == ("b.png", "lower")
    (parts / "list.csv").write_text("image\n../b.png\n")
    assert cli.main(["predict", "tiny", "list.csv", "--results", str(results)]) == 2
    assert capsys.readouterr().err.startswith("search: error: list.csv:2: '../b.png' leaves the data folder; give a path")


def test_of_a_search_without_a_model_it_says_how_it_gets_one(results, parts, tmp_path, capsys):
    folder = tmp_path / "results" / "stopped"
    folder.mkdir(parents=True)
    (folder / "record.jsonl").touch()
    write_summary(folder, {"name": "stopped", "state": "interrupted"})
    assert cli.main(["predict", "stopped", str(parts / "a.png"), "--results", str(folder.parent)]) == 2
    said = capsys.readouterr().err
    assert "stopped: the search is not complete and has no model yet; `resume stopped` goes on with it, `finish stopped`" in said


def with_architecture(folder: Path, architecture: str) -> None:
    """Let the card in ``folder`` name another network."""
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "architecture": architecture}))


@pytest.mark.parametrize(("body", "expected"), [
    ("return 1 / 0", "fails for images of 1x16x16: ZeroDivisionError: division by zero (fails.py:2); mend it"),
    ("raise RuntimeError('no layer')", "fails for images of 1x16x16: RuntimeError: no layer (fails.py:2); mend it"),
    ("return 'layer'", "fails for images of 1x16x16: TypeError: str is not a Module subclass"),
    ("import trainables.models as m; net = m.build('simple_cnn', **words); net.forward = lambda x: 1 / 0; return net",
     "fails for images of 1x16x16: ZeroDivisionError: division by zero (fails.py:2); mend it"),
    ("return None", "returns None, not a torch.nn.Module; return the network"),
])  # fmt: skip
def test_a_network_of_ones_own_that_fails_is_told_in_a_line(body, expected, results, parts, tmp_path, monkeypatch, capsys):
    shutil.copytree(results / "tiny", tmp_path / "results" / "tiny")
    with_architecture(tmp_path / "results" / "tiny" / "model", "fails:make")
    (tmp_path / "fails.py").write_text(f"def make(**words):\n    {body}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "fails", raising=False)
    assert cli.main(["predict", "tiny", "a.png", "--results", "results"]) == 2
    err = capsys.readouterr().err
    assert f"space.architecture: fails:make {expected}" in err and err.count("\n") == 1


@pytest.mark.parametrize("path", ["subprocess:run", "os.path:join", "this:x"])
def test_modules_of_python_itself_are_no_networks(path):
    module = path.partition(":")[0]
    with pytest.raises(BadInput, match=f"'{module}' is a module of Python itself; name one of your own"):
        build(path, channels=1, outputs=2, size=16)


def test_an_onnx_file_needs_no_code(results, parts, tmp_path, capsys):
    model, card = read_model(results / "tiny" / "model")
    write_onnx(tmp_path / "own.onnx", model, task_of(card), dataclasses.replace(card, architecture="nowhere:build"))
    assert cli.main(["predict", str(tmp_path / "own.onnx"), str(parts / "b.png"), "--results", str(tmp_path / "none")]) == 0
    assert "b.png: lower " in capsys.readouterr().out


def test_what_would_be_read_for_ever_is_refused_or_left_out(results, parts, tmp_path, capsys):
    for name in ("pipe.png", "pipe.onnx"):
        os.mkfifo(parts / name)
    assert cli.main(["predict", "tiny", str(parts / "pipe.png"), "--results", str(results)]) == 2
    assert capsys.readouterr().err == (f"search: error: {parts / 'pipe.png'}: not a file but a FIFO or a device; "
                                       "give an image or a folder of images\n")
    assert cli.main(["predict", str(parts / "pipe.onnx"), str(parts / "a.png")]) == 2
    assert "pipe.onnx: there is no such file" in capsys.readouterr().err
    assert cli.main(["predict", "tiny", str(parts), "--results", str(results)]) == 0
    assert [Path(line.partition(":")[0]).name for line in capsys.readouterr().out.splitlines()] == ["a.png", "b.png"]


@pytest.mark.parametrize("fails_at", [1, 2, 3], ids=["weights", "card", "ONNX"])
def test_model_files_are_whole_on_disk_or_what_they_were(fails_at, results, tmp_path, monkeypatch):
    """A disk that does not take a file leaves the one before, and nothing half written beside it."""
    folder = tmp_path / "model"
    model, card = read_model(results / "tiny" / "model")

    def write_all(card: Card) -> None:
        write_model(folder, results / "tiny" / "last.safetensors", card)
        write_onnx(folder / "model.onnx", model, task_of(card), card)

    write_all(card)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    calls = itertools.count(1)

    def failing(file: int) -> None:
        if next(calls) == fails_at:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises((OSError, BadInput), match="Input/output error"):
        write_all(dataclasses.replace(card, dropout=0.5))
    for path in folder.iterdir():
        assert path in before
        assert fails_at > 1 and path.name != "model.onnx" or path.read_bytes() == before[path]


def test_class_names_that_the_terminal_does_not_have_are_printed_as_escapes(images, parts):
    make_model(parts / "results" / "tiny", images, ("Ölfleck", "\u4e0b"))
    command = [sys.executable, "-m", "search", "predict", "tiny", "b.png", "--results", "results"]
    surroundings = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(Path(cli.__file__).parent.parent)}
    done = subprocess.run(command, cwd=parts, env=surroundings, capture_output=True)
    assert done.returncode == 0 and done.stdout.startswith(b"b.png: \\u4e0b")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["tiny"], "tiny: no images; give image files or a folder after the name", id="no images"),
        pytest.param(["nosuch", "a.png"], "no search named 'nosuch'; there: tiny", id="unknown search"),
        pytest.param(["tiny", "missing.png"], "missing.png: no such file or folder; give an image", id="missing image"),
        pytest.param(["tiny", "EMPTY"], "no images in this folder", id="empty folder"),
        pytest.param(["tiny", "GOOD", "-o", "missing/out.csv"], "missing/out.csv: cannot be written (No such file or directory)",
                     id="output nowhere"),
        pytest.param(["tiny", "TEXT"], "cannot be read as an image", id="not an image"),
        pytest.param(["models:/tiny@champion", "GOOD"], "models:/tiny@champion: there is no MLflow store yet; run a search first",
                     id="no registry"),
        pytest.param(["none.onnx", "GOOD"], "none.onnx: there is no such file; name the model.onnx of a search", id="no ONNX"),
    ],
)
def test_mistakes_are_one_line(words, expected, results, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("<html>")
    Image.fromarray(draw(0, np.random.default_rng(0))).save(tmp_path / "good.png")
    files = {"GOOD": "good.png", "EMPTY": "empty", "TEXT": "text.png"}
    words = [str(tmp_path / files[word]) if word in files else word for word in words]
    assert cli.main(["predict", *words, "--results", str(results)]) == 2
    err = capsys.readouterr().err
    assert expected in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    [
        pytest.param(WEIGHTS, None, "there are no weights; put back a copy, such as the registered one", id="weights missing"),
        pytest.param(WEIGHTS, b"\0", "the weights are not those that were written, by their sha256", id="weights damaged"),
        pytest.param(CARD, None, "there is no model; run a search first", id="card missing"),
        pytest.param(CARD, b"{}", "not a model description of this version", id="card of another version"),
        pytest.param(CARD, b"{", "not a model description of this version", id="card damaged"),
    ],
)
def test_damaged_models_are_named_and_not_loaded(file, damage, expected, results, tmp_path):
    for name in (WEIGHTS, CARD):
        (tmp_path / name).write_bytes((results / "tiny" / "model" / name).read_bytes())
    if damage is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(damage if file == CARD else (tmp_path / file).read_bytes()[:-1] + damage)
    with pytest.raises(BadInput, match=expected) as problem:
        read_model(tmp_path)
    assert problem.value.file == str(tmp_path / file)
