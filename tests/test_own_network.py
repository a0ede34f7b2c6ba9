"""A user's own network by its import path: checked like the built-in ones, and rebuilt by `predict`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from search import cli
from search.space import load_space
from search.stores import default_store
from tests.conftest import write_space
from trainables import own
from trainables.cost import cost, options_taken
from trainables.errors import BadInput
from trainables.models import KEY, build

NETS = '''
from torch import nn

def build(*, channels, outputs, size, dropout):
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels * size * size, outputs))

def deep(channels, outputs, size, dropout, depth=1, **rest):
    return nn.Sequential(nn.Conv2d(channels, depth, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(depth, outputs))

def dense(*, channels, outputs, size, dropout):
    return nn.Conv2d(channels, outputs, 1)

def without_size(*, channels, outputs, dropout):
    return build(channels=channels, outputs=outputs, size=16, dropout=dropout)

def fixed_width(*, channels, outputs, size, dropout):
    return build(channels=channels, outputs=7, size=size, dropout=dropout)

def fixed_size(*, channels, outputs, size, dropout):
    return build(channels=channels, outputs=outputs, size=5, dropout=dropout)

def pair(*, channels, outputs, size, dropout):
    class Pair(nn.Linear):
        def forward(self, images):
            return images, images
    return Pair(1, 1)

def raises(*, channels, outputs, size, dropout):
    return 1 / 0

def words(*, channels, outputs, size, dropout):
    return "a network"

number = 3
'''


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current directory with the user's modules in it."""
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "broken.py").write_text("def build(:\n")
    (tmp_path / "failing.py").write_text("import math\nmath.nothing\n")
    (tmp_path / "hungry.py").write_text("import a_package_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("nets", "broken", "failing", "hungry", "pack", "pack.net"):
        sys.modules.pop(name, None)


def test_it_is_built_counted_and_given_the_options_that_it_names(here):
    found = cost("nets:build", 1, 4, 16)
    assert (found.params, found.macs) == (256 * 4 + 4, 256 * 4)
    assert build("nets:build", channels=1, outputs=2, size=8, depth=5, patch_size=2)[2].in_features == 64
    assert options_taken("nets:deep") == ("depth",)
    assert cost("nets:deep", 1, 4, 16, depth=3, patch_size=8).params == 3 * 9 + 3 + 3 * 4 + 4
    assert cost("nets:dense", 1, 4, 16, maps=True).macs == 4 * 16 * 16


CALL = "(channels=, outputs=, size=, dropout=)"
MISTAKES = {
    "no module": ("nuts:build", "there is no module 'nuts'; put nuts.py into the current directory, or install it"),
    "no package": ("some.nets:build", "there is no module 'some'; put some.py into the current directory"),
    "no function": ("nets:biuld", "module 'nets' has no 'biuld'; did you mean 'build'?"),
    "nothing like it": ("nets:zzz", "module 'nets' has no 'zzz'; define it in"),
    "no callable": ("nets:number", f"nets:number is int, not a function; name one that can be called as number{CALL}"),
    "wrong signature": (
        "nets:without_size",
        f"nets:without_size cannot be called as without_size{CALL}: got an unexpected keyword argument 'size'"),
    "not Python": ("broken:build", "module 'broken' cannot be imported: SyntaxError:"),
    "fails when imported": (
        "failing:build",
        "module 'failing' cannot be imported: AttributeError: module 'math' has no attribute 'nothing' (failing.py:2)"),
    "needs a package": ("hungry:build", "module 'hungry' needs 'a_package_nobody_has', which is not installed; install it"),
    "raises": ("nets:raises", "nets:raises fails for images of 1x16x16: ZeroDivisionError: division by zero (nets.py:"),
    "no network": ("nets:words", "nets:words returns str, not a torch.nn.Module; return the network"),
    "another width": ("nets:fixed_width", "nets:fixed_width gives (2, 7) for 2 images and 4 outputs, not (2, 4); mend its last"),
    "another size": ("nets:fixed_size", "nets:fixed_size fails for images of 1x16x16: RuntimeError: "),
    "two outputs": ("nets:pair", "nets:pair gives ('tuple',) for 2 images and 4 outputs, not (2, 4)"),
    "a map": ("nets:dense", "nets:dense gives a map for each image, and the task needs numbers for each image"),
}  # fmt: skip


@pytest.mark.parametrize("path, expected", MISTAKES.values(), ids=MISTAKES)
def test_mistakes(path, expected, here):
    with pytest.raises(BadInput) as caught:
        cost(path, 1, 4, 16, maps=False)
    assert expected in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.key == KEY


@pytest.mark.parametrize("written", ["nets:build", "{choice: [simple_cnn, 'nets:build', 'pack.age:make_net']}"])
def test_space_takes_import_paths(written, tmp_path):
    path = write_space(tmp_path / "own.yaml", tmp_path)
    assert "nets:build" in load_space(path, [f"space.architecture={written}"]).values("architecture")


@pytest.mark.parametrize("written", ["nets", "nets:", ":build", "nets:build()", "nets/net.py:build", "3nets:build"])
def test_space_refuses_what_is_none(written, tmp_path):
    path = write_space(tmp_path / "own.yaml", tmp_path)
    with pytest.raises(Exception, match="unknown value .* or module:function of your own"):
        load_space(path, [f"space.architecture={json.dumps(written)}"])


def test_check_names_the_line_of_the_space_file(here, images, capsys):
    space = write_space(here / "own.yaml", images)
    assert cli.main(["check", str(space), "--set", "space.architecture={choice: [simple_cnn, 'nets:fixed_width']}"]) == 2
    err = capsys.readouterr().err
    assert "space.architecture: nets:fixed_width gives (2, 7) for 2 images and 2 outputs" in err and err.count("\n") == 1


def test_a_search_over_it_ends_in_a_model_that_predicts(here, images, capsys, monkeypatch):
    results = ["--results", str(here / "results")]
    space = write_space(here / "own.yaml", images, trials=1, epochs=1)
    assert cli.main(["run", str(space), *results, "--set", "space.architecture=nets:build"]) == 0
    capsys.readouterr()
    assert cli.main(["best", "--json", *results]) == 0
    best = json.loads(capsys.readouterr().out)
    card = json.loads((Path(best["model"]) / "model.json").read_text())
    assert best["trials"]["COMPLETE"] == 1 and card["architecture"] == "nets:build"
    assert cli.main(["predict", "own", str(images / "left" / "00.png"), "--json", *results]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert np.isclose(sum(row["probabilities"].values()), 1)

    monkeypatch.chdir("/")  # a server has neither the current directory nor the user's module, but what was logged
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(here)])
    sys.modules.pop("nets")
    with default_store(best["tracking"]):
        served = mlflow.pyfunc.load_model(best["registered"])
    assert np.allclose(served.predict(np.zeros((1, 1, 16, 16), np.float32)).sum(), 1)
    assert not Path(sys.modules["nets"].__file__).is_relative_to(here / "nets.py")


def test_what_other_machines_need_is_what_stands_here(here):
    (here / "pack").mkdir()
    (here / "pack" / "__init__.py").write_text("")
    (here / "pack" / "net.py").write_text(NETS)
    names = ["simple_cnn", "nets:build", "nets:deep", "pack.net:build", "torchvision.models:resnet18"]
    assert own.sources_here(names, KEY) == [str(here / "nets.py"), str(here / "pack")]
