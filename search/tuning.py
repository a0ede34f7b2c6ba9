"""Ray Tune put together: the searcher asks, the scheduler stops, workers train."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from search import folder as folders
from search.clock import Clock
from search.endings import Kind
from search.interrupt import Interrupts, blocked, kept
from search.loopback import place, watched
from search.plan import Plan
from search.repeats import Workers
from search.resources import Machine, ray_session
from search.trials import Trials
from trainables import own
from trainables.files import weights_file
from trainables.models import KEY

RETRIES = 2  # of a trial whose worker process died; whatever fails by itself is reported and ends the trial
LOOP = ("trainables.trial", "trainables.fit", "torch._dynamo")  # what takes seconds to import; optimizers import the last

Session = AbstractContextManager[tuple[Any, Machine]]


def session_of(plan: Plan, address: str | None = None, fit=None) -> Session:
    """Return what starts Ray for ``plan`` on this machine, or joins the cluster at ``address``; see `ray_session`.

    Raises:
        EnvironmentProblem: there is no place for Ray's files.
    """
    if address is None:
        place()
    code = own.sources_here(plan.space.values("architecture"), KEY)
    return ray_session(plan.machine, address, code, LOOP if fit is None else ())


@contextmanager
def begun(session: Session) -> Iterator[Session]:
    """Start Ray in a thread, while the caller does something else; yield what waits for it and leaves it."""
    from ray import tune  # noqa: F401  # here, since two threads that import the same modules can meet half of one

    def start() -> tuple[Any, Machine]:
        # Ray's start lets SIGTERM end the process with a dump; a terminal that is closed is to end us, and not Ray before us
        with kept(signal.SIGTERM), blocked(signal.SIGHUP):
            return stack.enter_context(session)

    with ThreadPoolExecutor(1) as thread, ExitStack() as stack:
        started = thread.submit(start)

        @contextmanager
        def waited() -> Iterator[tuple[Any, Machine]]:
            with stack:
                yield started.result()

        try:
            yield waited()
        finally:
            wait([started])


def survive_full_memory() -> None:
    """Let Tune take a worker that Ray killed, because the machine's memory ran out, for one that died.

    Tune 2.60 hears of it by an error that is no actor's, and dies of that itself.
    """
    from ray import exceptions
    from ray._private import serialization

    class Killed(exceptions.RayActorError):
        def __init__(self, message: str):
            super().__init__(error_msg=message)

    serialization.OutOfMemoryError = Killed


@contextmanager
def search_trials(plan: Plan, folder: Path, data, trials: Trials, clock: Clock, interrupts: Interrupts, watchers=(),
                  refuses=lambda config: None, forbids=lambda config: None, session: Session | None = None, fit=None, past=(),
                  priors=()) -> Iterator[Workers]:
    """Run trials until the budget is spent: the sampler asks, ASHA stops, Ray runs, the watchers are told.

    Then yield the workers, which live as long as the context.
    ``refuses`` says of a `TrialConfig` why it is not to be started, or None; ``forbids``, why it is not even a trial.
    ``session`` is Ray, which is left at the end; by default it is started on this machine.
    ``past`` are the events of a record, whose trials are in ``trials``; ``priors`` those of earlier searches.
    """
    from ray import tune

    from search.scheduler import Asha, Attempts, Deadline
    from search.searcher import OptunaSearcher, create_study
    from trainables import trial

    survive_full_memory()
    weights_file(folder, 0).parent.mkdir(exist_ok=True)
    space = plan.space
    with session or session_of(plan, fit=fit) as (ray, machine), watched(interrupts.stop, interrupts.leave):
        interrupts.listen()
        clock.gpus = machine.gpus
        watchers = (*watchers, folders.Keeper(folder, trials, space.finish.top, interrupts.stop))
        scheduler = Asha(space)
        stopped = scheduler.restore(past)
        searcher = OptunaSearcher(space, create_study(space, folder, priors, interrupts.stop), trials, clock, watchers, refuses,
                                  forbids, stopped=stopped, stop=interrupts.stop)
        workers = Workers(ray, machine, {size: ray.put(arrays) for size, arrays in data.items()}, fit or trial.default_fit)
        train = tune.with_parameters(trial.train, fit=workers.fit, arrays=workers.arrays, metrics=tuple(space.modes),
                                     formulas=space.formulas, folder=str(folder.resolve()), saves=plan.rungs,
                                     seconds=space.schedule.epoch_seconds)
        tuner = tune.Tuner(
            tune.with_resources(train, machine.per_trial()),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                max_concurrent_trials=machine.concurrent,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="ray", storage_path=str(folder.resolve()), stop=Deadline(clock, interrupts), verbose=0,
                failure_config=tune.FailureConfig(max_failures=RETRIES), callbacks=[Attempts(searcher.again)],
            ),
        )
        if clock.left > 0:
            tuner.fit()
        searcher.close(None if interrupts.stopped else Kind.BUDGET)
        yield workers
    interrupts.listen()  # Ray's end has put back what SIGTERM does by itself
