"""Who may import whom, read from the source with `ast`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("search/**/*.py"), *ROOT.glob("trainables/**/*.py")])
TORCH = {"torch", "torchvision", "safetensors"}
DRIVER = {"ray", "optuna", "mlflow", "rich", "search"}


def imports(path: Path, *, top_only: bool) -> set[str]:
    """Return the full names of the modules that ``path`` imports, anywhere or when it is loaded itself."""
    tree = ast.parse(path.read_text())
    inner = {id(node) for outer in ast.walk(tree) if lazy(outer) for node in ast.walk(outer)} if top_only else set()
    names = set()
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


def lazy(node: ast.AST) -> bool:
    """Tell whether what stands in ``node`` is not run at import: a function, or a block for the type checker."""
    checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    return checking or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [path for path in FILES if path.is_relative_to(ROOT / "trainables")], ids=name_of)
def test_the_worker_never_imports_the_driver(path):
    allowed = {"ray"} if path.name == "trial.py" else set()
    assert not (roots(imports(path, top_only=False)) & DRIVER) - allowed


@pytest.mark.parametrize("path", [path for path in FILES if path.is_relative_to(ROOT / "search")], ids=name_of)
def test_the_driver_imports_torch_only_inside_functions(path):
    assert not roots(imports(path, top_only=True)) & TORCH


@pytest.mark.parametrize(
    "module",
    ["search.cli", "search.space", "search.plan", "search.views", "search.run", "search.folder", "search.record",
     "search.progress"],
)
def test_commands_start_without_the_heavy_libraries(module):
    heavy = ("torch", "torchvision", "ray", "optuna", "mlflow", "pandas")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_run_stays_a_table_of_contents():
    text = (ROOT / "search" / "run.py").read_text()
    assert len(text.splitlines()) < 150
    assert len([node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]) <= 4
