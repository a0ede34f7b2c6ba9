"""The driver: one space file in, one registered model out. Read `search.run` first.

In a program: ``from search import load_space, run_search``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from search import libraries

if TYPE_CHECKING:
    from search.errors import SearchError
    from search.finish import Outcome
    from search.report import write_report
    from search.resume import resume_search
    from search.run import run_search
    from search.space import Space, load_space

libraries.configure()  # before anything here imports Ray, MLflow or Optuna, which read it once

HOMES = {
    "Outcome": "finish", "SearchError": "errors", "Space": "space", "load_space": "space", "resume_search": "resume",
    "run_search": "run", "write_report": "report",
}  # fmt: skip
__all__ = ["Outcome", "SearchError", "Space", "load_space", "resume_search", "run_search", "write_report"]


def __getattr__(name: str) -> Any:
    """Import what a program asks for when it does: the commands need little of it, and start sooner."""
    if name not in HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(importlib.import_module(f"search.{HOMES[name]}"), name)
