"""Which version of a registered model is the champion: a new one only if it is proven better on the same sealed rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from search.plan import Plan
from search.progress import score_text

ALIAS = "champion"
SAME = ("sealed", "objective", "mode")  # tags in which two versions must agree for their scores to compare


@dataclass(frozen=True)
class Registered:
    """A version of the registered model.

    Attributes:
        version: its number; ``uri`` is by which MLflow serves it, ``model_id`` the logged model behind it.
        champion: whether the alias points to it.
        verdict: a line on why it does or does not.
    """

    version: str
    uri: str
    model_id: str | None
    champion: bool
    verdict: str


def tags_of(plan: Plan, score: float) -> dict[str, str]:
    """Return the tags of a version by which later ones compare with it."""
    objective = plan.space.objective
    return {"sealed": sealed_fingerprint(plan), "objective": objective.formula or objective.metric, "mode": objective.mode,
            "test": repr(score)}


def sealed_fingerprint(plan: Plan) -> str:
    """Return 16 hexadecimal digits over content and target of the sealed rows, however files are named or ordered."""
    marks, hashes = plan.catalog.targets.marks(), plan.catalog.hashes
    rows = sorted((hashes[row], marks[row]) for row in plan.split.test.tolist())
    return hashlib.blake2b(repr((plan.catalog.target, rows)).encode(), digest_size=8).hexdigest()


def beats(new: Mapping[str, str], version: str, old: Mapping[str, str]) -> tuple[bool, str]:
    """Tell whether a version with the tags ``new`` takes the alias from the champion ``version``, and why in a line.

    It stays where it is without proof: who serves the champion is not to be given a model that may be worse.
    """
    if any(old.get(name) != new[name] for name in SAME) or "test" not in old:
        return False, f"version {version} stays champion: its score is of other sealed rows or another objective"
    mine, theirs = float(new["test"]), float(old["test"])
    ahead = mine - theirs if new["mode"] == "max" else theirs - mine
    what = f"{score_text(mine)} against {score_text(theirs)} of version {version} on the same sealed rows"
    if ahead > 0:
        return True, f"better than the champion before it: {what}"
    return False, f"version {version} stays champion: {what}" + (f", {score_text(-ahead)} short" if ahead else "")
