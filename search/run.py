"""One search from its first line to its last. Read this first: it is the table of contents of the project."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from search import folder as folders
from search.clock import Clock
from search.endings import Kind
from search.errors import Interrupted
from search.finish import Outcome, finish
from search.interrupt import Interrupts
from search.limits import Screen
from search.output import output_to
from search.packing import Packing
from search.plan import Plan, decode, make_plan
from search.progress import Progress, Silent
from search.resources import check_address, ray_session
from search.space import Space
from search.stores import check_uri, tracking_uri
from search.table import write_table
from search.tracking import Tracker
from search.trials import Trials


@folders.private_files()
def run_search(space: Space, *, name: str | None = None, results: str | Path = "results", tracking: str | None = None,
               address: str | None = None, fit=None, progress: Progress | None = None) -> Outcome:
    """Search ``space``; return what was found, which is then also registered in MLflow and written below ``results``.

    Args:
        name: name of the search, by default the space's.
        tracking: MLflow tracking URI; wins over the space file and MLFLOW_TRACKING_URI.
        address: address of a Ray cluster to join; by default trials run on this machine.
        fit: the training loop, by default `trainables.fit.fit`.
        progress: shows the search while it runs; by default nothing does.

    Raises:
        SearchError: with the exit status and the one line that the command would print. Where the space, the data or
            the machine is to blame, nothing was created.
    """
    clock = Clock(space.budget.minutes and 60 * space.budget.minutes, space.budget.gpu_hours and 3600 * space.budget.gpu_hours)
    progress = progress or Silent()
    name, results = space.name if name is None else name, Path(results)

    progress.phase("reading the data")
    folder = folders.claim(results, name)
    uri = check_uri(tracking_uri(space, results, tracking))
    check_address(address)
    plan = make_plan(space)
    packing = Packing(plan, results)
    plan = dataclasses.replace(plan, machine=packing.machine)
    data = decode(plan, results / "cache")
    screen = Screen(plan, results / "cache")

    trials = Trials(space.objective.name, space.objective.mode)
    with folders.recorded(folder, trials), output_to(folder / "search.log"), Interrupts() as interrupts:
        with Tracker(uri, results, plan, name, trials) as tracker, progress.showing(plan, trials, clock):
            progress.phase("starting workers")
            search_trials(plan, folder, data, trials, clock, interrupts, (tracker, progress, packing), packing.refuses,
                          screen.forbids, address, fit)
            if interrupts.signal is not None:
                raise Interrupted(interrupts.signal)
            progress.phase("scoring the best on the sealed rows")
            outcome = finish(plan, folder, results / "cache", trials, tracker, clock)
            tracker.attach(write_table(plan, folder, trials))
            return outcome


def search_trials(plan: Plan, folder: Path, data, trials: Trials, clock: Clock, interrupts: Interrupts, watchers=(),
                  refuses=lambda config: None, forbids=lambda config: None, address: str | None = None, fit=None) -> None:
    """Run trials until the budget is spent: the sampler asks, ASHA stops, Ray runs, the watchers are told.

    ``refuses`` says of a `TrialConfig` why it is not to be started, or None; ``forbids``, why it is not even a trial.
    """
    from ray import tune

    from search.scheduler import Asha, Deadline
    from search.searcher import OptunaSearcher, create_study
    from trainables import trial

    space = plan.space
    with ray_session(space.resources, plan.machine, address) as (ray, machine):
        clock.gpus = machine.gpus
        searcher = OptunaSearcher(
            space, create_study(space, folder), trials, clock,
            watchers=(*watchers, folders.Keeper(folder, trials)), refuses=refuses, forbids=forbids,
        )
        train = tune.with_parameters(
            trial.train,
            fit=fit or trial.default_fit,
            arrays={size: ray.put(arrays) for size, arrays in data.items()},
            metric=space.objective.name,
            formula=space.objective.formula,
            folder=str(folder.resolve()),
            saves=plan.rungs,
        )
        tune.Tuner(
            tune.with_resources(train, machine.per_trial()),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=Asha(space),
                num_samples=-1,
                max_concurrent_trials=machine.concurrent,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="ray", storage_path=str(folder.resolve()), stop=Deadline(clock, interrupts), verbose=0
            ),
        ).fit()
        searcher.close(Kind.INTERRUPTED if interrupts.signal is not None else Kind.BUDGET)
