"""What a second objective changes: a search for accuracy alone and one for accuracy and MACs, for the same time.

Each is `python -m search run` in a process of its own. The hypervolume of its finished trials, accuracy above 0 and MACs
below those of the costliest network of the space, is given as a share of that whole rectangle up to accuracy 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from search.endings import State
from search.front import costs
from search.pareto import hypervolume, layers
from search.plan import Plan, make_plan
from search.record import read_record
from search.space import load_space
from tests.benchmarks.common import ROOT
from trainables.cost import figures

WAYS = {"accuracy": "[{metric: accuracy}]", "accuracy and macs_g": "[{metric: accuracy}, {metric: macs_g}]"}


def front_of(folder: Path, plan: Plan) -> tuple[list[tuple[float, float]], float, int]:
    """Return a search's front as accuracy and billions of MACs, the share that it covers, and the number of finished trials."""
    target = plan.catalog.target
    finished = read_record(folder).trials.ended(State.COMPLETE)
    macs = [figures(trial.config, plan.channels, target.outputs, target.maps)["macs_g"] for trial in finished]
    points = np.array([(trial.rows[-1]["accuracy"], -cost) for trial, cost in zip(finished, macs, strict=True)]).reshape(-1, 2)
    worst = max(costs(plan, "macs_g"))
    front = sorted({(accuracy, -cost) for accuracy, cost in points[layers(points) == 0].tolist()})
    return front, hypervolume(points, np.array([0.0, -worst])) / worst, len(finished)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="spaces/aoi.yaml")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--repetitions", type=int, default=1)
    given = parser.parse_args()
    plan, found = make_plan(load_space(given.space)), []
    with tempfile.TemporaryDirectory() as results:
        for way, objectives in list(WAYS.items()) * given.repetitions:
            name = f"search{len(found)}"
            command = ["run", given.space, "--minutes", str(given.minutes), "--name", name, "--results", results]
            subprocess.run([sys.executable, "-m", "search", *command, "--set", f"objective={objectives}"], cwd=ROOT, check=True,
                           stdout=sys.stderr)
            front, share, finished = front_of(Path(results) / name, plan)
            shown = ", ".join(f"{accuracy:.4f} at {macs:.4f}" for accuracy, macs in front)
            print(f"{way}: {share:.4f} covered by {finished} finished trials; {shown}", flush=True)
            found.append({"way": way, "covered": share, "finished": finished, "front": front})
    print(json.dumps({"benchmark": "front", "minutes": given.minutes, "searches": found}))


if __name__ == "__main__":
    main()
