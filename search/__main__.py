"""`python -m search`: see `search.cli`."""

import importlib.util
import sys


def run() -> int:
    """Run the command that was typed; return its exit status.

    The commands import as they go, so that a package that is not installed shows itself only then. It is said in one line,
    most often since the wrong Python was called. A module that is missing inside a package that is there stays a traceback.
    """
    try:
        from search.cli import main

        return main()
    except ModuleNotFoundError as problem:
        package = (problem.name or "").partition(".")[0]
        if package in ("", "search", "trainables", *sys.stdlib_module_names) or importlib.util.find_spec(package):
            raise
        print(f"search: error: {package!r} is not installed for {sys.executable}; activate the environment that has it, "
              "as README's first command makes it (.venv/bin/python)", file=sys.stderr)
        return 5  # `EnvironmentProblem`, which may be what cannot be imported


if __name__ == "__main__":
    sys.exit(run())
