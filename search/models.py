"""Models wherever they are: of a search, in MLflow's registry, in a folder, or one ONNX file. All are read without pickle."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from search import folder as folders
from search.errors import SpaceError
from search.stores import check_uri, default_store, default_uri, file_of, relocate, unreachable
from trainables.card import CARD, WEIGHTS, Card, read_card, read_files
from trainables.errors import BadInput, first_line
from trainables.models import MODELS

if TYPE_CHECKING:
    from torch import nn

REGISTRY = "models:/"


class Model(Protocol):
    """A network that answers, with all that is needed to feed it and to read its answers."""

    card: Card

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the task's predictions (n, ...) for uint8 images (n, channels, size, size)."""


class TorchModel:
    """A model from its folder; the first prediction, or `load`, makes its network.

    Raises:
        BadInput: a file is missing or damaged; names it.
    """

    def __init__(self, folder: Path):
        self.card = read_files(folder)
        self._weights = folder / WEIGHTS

    def load(self) -> None:
        """Make the network now; afterwards the files are not needed.

        Raises:
            BadInput: the weights are not those of the network; names the file.
        """
        _ = self._network

    @cached_property
    def _network(self) -> nn.Module:
        from trainables.export import rebuild

        return rebuild(self.card, self._weights)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        from trainables.export import blamed, predict, task_of

        with blamed(self.card):
            return predict(self._network, task_of(self.card), pixels)


def command(name: str, task: str | None, images: str) -> str:
    """Return what is typed to apply the model of the search ``name`` to ``images``."""
    return f"python -m search predict {name} {images}{' -o FOLDER' if task == 'segmentation' else ''}"


def find_model(results: Path, words: Sequence[str], tracking: str | None = None) -> tuple[Model, Path, Sequence[str]]:
    """Return the model that the first of ``words`` names, or that of the latest search, and the words that are left.

    Between them stands the folder to which answers go that are told no other place: the search's, else the current one.

    Raises:
        SpaceError: there is no such model or search, or it needs code that no search here has run; names it.
        BadInput: its files are damaged; names them.
    """
    first, here = words[0], Path()
    if first.startswith(REGISTRY):
        store = tracking or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(results)
        return from_registry(first, store, results), here, words[1:]
    if first.endswith(".onnx"):
        from trainables.onnx_file import OnnxModel

        return OnnxModel(Path(first)), here, words[1:]
    if (place := model_folder(Path(first))) is not None:
        model = TorchModel(place)
        check_code(model.card, first, results, lambda search: (search / "model").resolve() == place.resolve())
        return model, here, words[1:]
    folder, words = of_search(results, words)
    recorded = (folder / folders.RECORD).is_file()
    if recorded and not (folder / "model").is_dir() and folders.read_summary(folder)["state"] != "complete":
        mend = f"`resume {folder.name}` goes on with it, `finish {folder.name}` ends it with what it has"
        raise SpaceError(f"the search is not complete and has no model yet; {mend}", place=str(folder))
    try:
        return TorchModel(folder / "model"), folder, words
    except BadInput as problem:
        if not recorded:
            raise
        what = problem.message.partition(";")[0]
        raise SpaceError(f"{what}; `finish {folder.name}` writes it again", place=problem.file) from None


def model_folder(path: Path) -> Path | None:
    """Return the folder of the model that ``path`` is, or a file of; None where it is none."""
    place = path.parent if path.suffix in (".json", ".safetensors") else path
    return place if (place / CARD).is_file() else None


def check_code(card: Card, place: str, results: Path, is_model_of: Callable[[Path], bool]) -> None:
    """Refuse a model whose network is not built in, unless a search of ``results`` has it: others may name any code there is.

    Args:
        place: the model, as it was named.
        is_model_of: tells whether it is the model of the search in a folder.
    """
    if card.architecture in MODELS:
        return
    for search in filter(is_model_of, folders.searches(results)):
        if (search / "model" / CARD).is_file() and read_card(search / "model" / CARD).architecture == card.architecture:
            return
    what = f"it needs code of its own, {card.architecture}, which is run only for a search of --results"
    raise SpaceError(f"{what}; give its NAME", place=place)


def of_search(results: Path, words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Return the folder of the search that the first word names, or of the latest one, and the words that name images."""
    first = words[0]
    is_search = (results / first / folders.SUMMARY).is_file()
    if not is_search and (Path(first).exists() or (len(words) == 1 and Path(first).suffix)):
        return folders.find(results, None), words
    return folders.find(results, first), words[1:]


def from_registry(uri: str, store: str, results: Path) -> Model:
    """Fetch a registered model's files from MLflow and read them; none of the code that is logged beside them is run.

    Raises:
        SpaceError: there is no such version, it was not registered by a search, or it needs code that no search here has run.
        EnvironmentProblem: the store does not answer.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    check_uri(store)
    if store.startswith("sqlite") and not ((file := file_of(store)) and file.is_file()):
        raise SpaceError("there is no MLflow store yet; run a search first, or give --tracking-uri", place=uri)
    relocate(store, results)
    with tempfile.TemporaryDirectory() as place, default_store(store):
        try:
            download_artifacts(artifact_uri=uri, dst_path=place)
        except (MlflowException, OSError) as problem:
            reason = first_line(problem)
            if isinstance(problem, OSError):
                raise unreachable(store, reason, "mend that and try again") from None
            raise SpaceError(f"MLflow has no such model ({reason}); see `python -m search ui`", place=uri) from None
        found = list(Path(place).rglob(CARD))
        if len(found) != 1:
            raise SpaceError("not a model that a search has registered; give another", place=uri)
        model = TorchModel(found[0].parent)
        name = re.split("[/@]", uri.removeprefix(REGISTRY))[0]
        check_code(model.card, uri, results, lambda search: search.name == name)
        model.load()
        return model
