"""A search as the command makes it, whose epochs take time and are noted as they are trained: `driver run|resume …`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path

from search.cli import tell
from search.errors import SearchError
from trainables import trial

EPOCHS_FILE = "SEARCH_TEST_EPOCHS"  # environment variable: where each trained epoch is noted
EPOCH_SECONDS = 0.2


def fit(config, data, start=None, *, epochs: str):
    """Train as ever, and note each epoch in the file ``epochs`` under what tells trials apart."""
    for epoch in trial.default_fit(config, data, start):
        time.sleep(EPOCH_SECONDS)
        with open(epochs, "a") as file:
            file.write(f"{config.learning_rate!r} {epoch.epoch}\n")
        yield epoch


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["run", "resume"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--space", type=Path)
    parser.add_argument("--tracking")
    parser.add_argument("--address")
    given = parser.parse_args()
    noted = partial(fit, epochs=os.environ[EPOCHS_FILE])  # nodes that were started elsewhere have it not in theirs
    try:
        if given.command == "resume":
            from search.resume import resume_search

            resume_search(given.folder, tracking=given.tracking, address=given.address, fit=noted)
        else:
            from search.run import run_search
            from search.space import load_space

            run_search(load_space(given.space), name=given.folder.name, results=given.folder.parent, tracking=given.tracking,
                       address=given.address, fit=noted)
    except SearchError as problem:
        tell("error", str(problem))
        return problem.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
