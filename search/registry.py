"""MLflow's model registry: the model of a search is logged and registered whole and once, however often it is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from search import provenance
from search.champion import ALIAS, Registered, beats
from search.stores import default_store, unreachable
from trainables.card import CARD, WEIGHTS, code, read_card
from trainables.files import digest

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient



class Registry:
    """Logs and registers the models of one search.

    Args:
        client: of the tracking URI ``uri``.
        name: name of the search, which the registered model has, too.
        experiment_id: where the logged models stand.
        parent: id of the run that they are logged by.
        asked: calls a function until MLflow answers, and returns what it returned.
    """

    def __init__(self, client: MlflowClient, uri: str, name: str, experiment_id: str, parent: str, asked: Callable):
        self.client, self.uri, self.name = client, uri, name
        self.experiment_id, self.parent, self._asked = experiment_id, parent, asked

    def register(self, model: Path, example: np.ndarray, outputs: np.ndarray, tags: dict[str, str], card: str) -> Registered:
        """Log the model folder with signature and input example, and register it, as `champion` if it is the better one.

        The folder is logged as it is, beside the code that loads it: no pickle is written or read. Weights that this
        search has registered already are not registered twice, and whatever an attempt came to that was cut short is used
        or taken back.

        Args:
            example: float32 images (n, channels, size, size) in 0..1, as the model takes them.
            outputs: what the model makes of them.
            tags: what its version is compared by, from `champion.tags_of`.
            card: description of the version.
        """
        sha256 = digest(model / WEIGHTS)
        tags = {**tags, "sha256": sha256}
        model_id = self._asked(lambda: self._logged(sha256) or self._log_model(model, example, outputs, sha256))
        version = self._asked(lambda: self._version(sha256) or self._create_version(model_id, tags))
        self._asked(lambda: self.client.update_model_version(self.name, version, card))
        return self._asked(lambda: self._crown(version, model_id, tags))

    def _logged(self, sha256: str) -> str | None:
        """Return the id of the logged model with these weights; delete those that were not logged and read back, or twice."""
        models = self.client.search_logged_models([self.experiment_id], f"source_run_id = '{self.parent}'")
        whole = [model.model_id for model in models if str(model.status) == "READY" and model.tags.get("stored") == sha256]
        for model in models:
            if model.model_id not in whole[:1] and (str(model.status) != "READY" or model.tags.get("sha256") == sha256):
                self.client.delete_logged_model(model.model_id)
        return whole[0] if whole else None

    def _version(self, sha256: str) -> str | None:
        """Return the version of this search's model with these weights; delete one that was made twice."""
        known = self.client.search_model_versions(f"name = '{self.name}' and run_id = '{self.parent}'")
        same = sorted(int(version.version) for version in known if version.tags.get("sha256") == sha256)
        for version in same[1:]:
            self.client.delete_model_version(self.name, str(version))
        return str(same[0]) if same else None

    def _crown(self, version: str, model_id: str | None, tags: dict[str, str]) -> Registered:
        """Give the alias to ``version`` unless it is another's who is not beaten."""
        present = self.client.get_registered_model(self.name).aliases.get(ALIAS)
        champion, verdict = True, "the first version"
        if present is not None and str(present) != version:
            old = self.client.get_model_version(self.name, present).tags
            champion, verdict = beats(tags, str(present), old)
        elif present is not None:
            verdict = "the champion already"
        if champion:
            self.client.set_registered_model_alias(self.name, ALIAS, version)
        uri = f"models:/{self.name}@{ALIAS}" if champion else f"models:/{self.name}/{version}"
        return Registered(version, uri, model_id, champion, verdict)

    def _log_model(self, model: Path, example: np.ndarray, outputs: np.ndarray, sha256: str) -> str | None:
        """Log the model folder; return the id of the logged model.

        Raises:
            EnvironmentProblem: what the store holds then are not the weights that it was given.
        """
        import mlflow
        from mlflow.models import infer_signature

        target = read_card(model / CARD).target
        with default_store(self.uri), mlflow.start_run(run_id=self.parent, log_system_metrics=False):
            logged = mlflow.pyfunc.log_model(
                name="model", loader_module="trainables.export", data_path=str(model),
                code_paths=code(model), signature=infer_signature(example, outputs),
                input_example=example, pip_requirements=requirements(), tags={"sha256": sha256},
                metadata={target.noun: list(target.names)},
            )
            with tempfile.TemporaryDirectory() as place:
                stored = Path(mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}", dst_path=place), "data")
                if sha256 not in map(digest, stored.rglob(WEIGHTS)):
                    what = "it does not keep the weights as they are sent"
                    raise unreachable(self.uri, what, "see to its artifacts, then `resume`")
        self.client.set_logged_model_tags(logged.model_id, {"stored": sha256})
        return self._logged(sha256)

    def _create_version(self, model_id: str, tags: dict[str, str]) -> str | None:
        """Register the logged model as a version that carries its tags from the first moment."""
        import mlflow

        with default_store(self.uri):
            mlflow.register_model(f"models:/{model_id}", self.name, tags={**tags, "model_id": model_id})
        return self._version(tags["sha256"])


def requirements() -> list[str]:
    """Return what a server needs beside the logged code."""
    names = ("mlflow", "torch", "torchvision", "numpy", "safetensors", "pillow")
    return [f"{name}=={provenance.version(name)}" for name in names]
