"""A user's own code, named ``module:function`` in the space file: a network, or the rows of a data set. Standard library only.

Whoever uses it says what the function is called with, and which key of the space file is to blame where it cannot be.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from trainables.errors import BadInput

FORM = "module:function"  # what people read where it may stand
PATTERN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


def function(path: str, words: Sequence[str], key: str) -> Callable[..., Any]:
    """Import what ``module:function`` names, also from the current directory.

    Args:
        words: the keywords that it is going to be called with.
        key: of the space file that names it.

    Raises:
        BadInput: it cannot be imported, is no function, or cannot be called with ``words``.
    """
    module_name, _, name = path.partition(":")
    module = import_module(module_name, key)
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, [known for known in vars(module) if not known.startswith("_")], n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"define it in {getattr(module, '__file__', None) or module_name}"
        raise BadInput(f"module {module_name!r} has no {name!r}; {mend}", key=key)
    found = getattr(module, name)
    call = f"{name}({', '.join(f'{word}=' for word in words)})"
    if not callable(found):
        raise BadInput(f"{path} is {type(found).__name__}, not a function; name one that can be called as {call}", key=key)
    try:
        inspect.signature(found).bind(**dict.fromkeys(words))
    except (TypeError, ValueError) as problem:  # ValueError: written in C, without a signature
        raise BadInput(f"{path} cannot be called as {call}: {problem}; take these keywords", key=key) from None
    return found


def import_module(name: str, key: str) -> Any:
    """Import the module ``name``; the current directory counts, and whatever its code raises is the user's mistake.

    Those of Python itself are nobody's own, and what some of them do when they are imported or called is not wanted here.
    """
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise BadInput(f"{name!r} is a module of Python itself; name one of your own", key=key)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not f"{name}.".startswith(f"{problem.name}."):
            raise BadInput(f"module {name!r} needs {problem.name!r}, which is not installed; install it", key=key) from None
        mend = f"put {problem.name}.py into the current directory, or install it"
        raise BadInput(f"there is no module {problem.name!r}; {mend}", key=key) from None
    except Exception as problem:  # the boundary to foreign code, which may raise anything while it is imported
        raise BadInput(f"module {name!r} cannot be imported: {blame(problem)}; mend it", key=key) from None


def source(path: str, key: str) -> Path:
    """Return the file, or the folder of the package, that holds the code of ``module:function``."""
    whole = import_module(path.partition(":")[0].partition(".")[0], key)
    file = Path(whole.__file__) if whole.__file__ else Path(next(iter(whole.__path__))) / "__init__.py"
    return file.parent if hasattr(whole, "__path__") else file


def sources_here(paths: Iterable[str], key: str) -> list[str]:
    """Return the files and folders in the current directory that hold the user's own ``paths``: no other machine has them."""
    sources = {source(path, key) for path in paths if ":" in path}
    return sorted(str(path) for path in sources if path.parent.resolve() == Path.cwd())


def blame(problem: BaseException) -> str:
    """Return one line that says what foreign code raised, and where."""
    text = (str(problem).strip() or "no message").splitlines()[0]
    if isinstance(problem, SyntaxError):
        return f"SyntaxError: {text}"
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(problem).__name__}: {text:.200}{place}"
