"""The best few trials trained again from further seeds, so that the winner is not the one that was lucky once.

A trial was picked as the best of many, so that its score flatters it; a mean over seeds does so less. All runs of a
candidate count alike, that of the search among them: which trial is best by such means does not depend on how the
candidates came to be chosen, as long as each has as many runs.
"""

from __future__ import annotations

import dataclasses
import heapq
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.clock import Clock
from search.endings import Kind, State
from search.errors import EnvironmentProblem
from search.interrupt import Interrupts
from search.plan import Plan
from search.sections import Finish
from search.trials import Trial, Trials
from trainables.config import TrialConfig
from trainables.errors import first_line
from trainables.files import error_file, is_whole, repeat_file, weights_file

if TYPE_CHECKING:
    from search.resources import Machine

RETRIES = 2  # of a training whose worker process died
POLL_SECONDS = 0.5
START_SECONDS = 5.0  # until a worker has torch
LAST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Repeat:
    """One configuration trained once more.

    Attributes:
        number: of the trial whose configuration it is.
        seed: what it was trained from.
        value: its objective on the validation rows; None where it failed.
        failure: its kind, and ``message`` a line on it; None where it did not fail.
        refit: whether it was trained on the validation rows, too, on which its value then means nothing.
    """

    number: int
    seed: int
    value: float | None = None
    failure: str | None = None
    message: str = ""
    seconds: float = 0.0
    refit: bool = False


@dataclass(frozen=True)
class Job:
    """A training that is to be done: which trial's configuration, from which seed, and about how long that takes."""

    trial: Trial
    seed: int
    seconds: float
    refit: bool = False

    @property
    def config(self) -> TrialConfig:
        """The trial's configuration with this seed; on all rows where the validation rows are among them."""
        split_ratio = 1.0 if self.refit else self.trial.config.split_ratio
        return dataclasses.replace(self.trial.config, seed=self.seed, split_ratio=split_ratio)

    @property
    def name(self) -> str:
        return "refit" if self.refit else str(self.seed)

    def weights(self, folder: Path) -> Path:
        return repeat_file(folder, self.trial.number, self.name)

    def stacks(self, folder: Path) -> Path:
        return error_file(folder, self.trial.number, self.name)


@dataclass(frozen=True)
class Candidate:
    """A trial that may be the winner: its value in the search, first, and from each further seed; and how many failed."""

    trial: int
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    failed: int


@dataclass(frozen=True)
class Workers:
    """Ray with the data in its store, for as long as its session lasts.

    Attributes:
        arrays: references to the data, by image size.
        fit: the training loop.
    """

    ray: Any
    machine: Machine
    arrays: dict[int, Any]
    fit: Any


def finalists(trials: Trials, folder: Path, finish: Finish) -> list[Trial]:
    """Return the trials that may be trained again: the best finished ones whose weights are there."""
    finished = [trial for trial in trials.ranked() if trial.ending.state is State.COMPLETE]
    return [trial for trial in finished if is_whole(weights_file(folder, trial.number))][: max(1, finish.top)]


def baseline_of(plan: Plan, trials: Trials) -> Trial | None:
    """Return the trial of the baseline configuration, the first one, if it ran to its end; a grid has none."""
    first = next(iter(trials), None)
    finished = first is not None and first.ending is not None and first.ending.state is State.COMPLETE
    return first if finished and plan.space.search != "grid" else None


def seeds_of(trial: Trial, count: int) -> list[int]:
    """Return so many seeds: the trial's own and those that follow it."""
    return [(trial.config.seed + step) % (LAST_SEED + 1) for step in range(count)]


def makespan(jobs: Iterable[Job], machines: int) -> float:
    """Return the seconds after which ``jobs``, begun in their order, are all done by so many at a time."""
    free = [START_SECONDS] * machines
    for job in jobs:
        heapq.heapreplace(free, free[0] + job.seconds)
    return max(free)


def jobs_for(trials: Sequence[Trial], seeds: int, known: Iterable[Repeat]) -> list[Job]:
    """Return the trainings that ``trials`` lack, a seed of each before the next seed of any."""
    done = {(repeat.number, repeat.seed) for repeat in known if not repeat.refit}
    rounds = [[Job(trial, seeds_of(trial, seeds)[step], trial.trained) for trial in trials] for step in range(1, seeds)]
    return [job for part in rounds for job in part if (job.trial.number, job.seed) not in done]


def affordable(candidates: Sequence[Trial], baseline: Trial | None, finish: Finish, known: Sequence[Repeat], machines: int,
               left: float) -> list[Job]:
    """Return what there is time for: fewer seeds where all is too much, then fewer candidates; last, the baseline's."""
    for top in range(min(len(candidates), finish.top), 0, -1):
        for seeds in range(finish.seeds, 1, -1):
            jobs = jobs_for(candidates[:top], seeds, known)
            if makespan(jobs, machines) > left:
                continue
            if baseline is not None and baseline not in candidates[:top]:
                beside = jobs + jobs_for([baseline], seeds, known)
                jobs = beside if makespan(beside, machines) <= left else jobs
            return jobs
    return []


class Reserve:
    """Watcher that lets the clock keep back what training again will take, by the trials that finished so far.

    That is what there will be time for, and nothing where even the least of it would not fit: the trials have it then.
    """

    def __init__(self, plan: Plan, trials: Trials, clock: Clock):
        self._finish, self._machines, self._trials, self._clock = plan.space.finish, plan.machine.concurrent, trials, clock
        self._look()

    def begin(self, trial: Trial) -> None:
        """Do nothing: how long it takes is known at its end."""

    def epoch(self, trial: Trial, row: dict[str, Any]) -> None:
        """Do nothing: how long it takes is known at its end."""

    def end(self, trial: Trial) -> None:
        self._look()

    def _look(self) -> None:
        finished = [trial for trial in self._trials.ranked()[: max(1, self._finish.top)] if trial.ending.state is State.COMPLETE]
        refit = max((trial.trained for trial in finished), default=0.0) if self._finish.refit else 0.0
        jobs = affordable(finished, None, self._finish, (), self._machines, self._clock.most_again - refit)
        self._clock.again = makespan(jobs, self._machines) + refit if jobs or refit else 0.0


def judged(trials: Sequence[Trial], repeats: Sequence[Repeat], finish: Finish, mode: str) -> list[Candidate]:
    """Return the finalists ``trials`` that were trained again, the best first; the first of them where none was.

    They are compared by the seeds that all of them were trained from. One that failed from a seed stands behind those
    that did not.
    """
    known = {(repeat.number, repeat.seed): repeat for repeat in repeats if not repeat.refit}
    last = max((place for place, trial in enumerate(trials) if any(number == trial.number for number, _ in known)), default=0)
    compared = trials[: last + 1]
    steps = [step for step in range(1, finish.seeds) if all((t.number, seeds_of(t, step + 1)[step]) in known for t in compared)]
    found = []
    for trial in compared:
        seeds = seeds_of(trial, finish.seeds)
        mine = [known[trial.number, seeds[step]] for step in steps]
        values = (trial.ending.value, *(repeat.value for repeat in mine if repeat.failure is None))
        failed = sum(repeat.failure is not None for repeat in mine)
        used = (seeds[0], *(seeds[step] for step in steps))
        found.append(Candidate(trial.number, used, values, statistics.fmean(values), failed))
    sign = -1 if mode == "max" else 1
    return sorted(found, key=lambda candidate: (candidate.failed, sign * candidate.mean))


def train_again(plan: Plan, folder: Path, workers: Workers, trials: Trials, known: Sequence[Repeat], clock: Clock,
                interrupts: Interrupts, watchers: Iterable[Any] = ()) -> list[Repeat]:
    """Train the best trials again from further seeds, as far as there is time; return what is known then.

    Args:
        known: what the record tells of an earlier finish; none of it is done twice, unless its weights are needed and gone.
        watchers: objects with ``phase(text)``, and others with ``again(repeat)``, told of every training.

    Raises:
        EnvironmentProblem: the machine is to blame.
    """
    finish = plan.space.finish
    candidates = finalists(trials, folder, finish)
    if not candidates:
        return list(known)
    if finish.ensemble:
        known = [repeat for repeat in known if repeat.failure or is_whole(repeat_file(folder, repeat.number, str(repeat.seed)))]
    left = clock.left_again - (max(trial.trained for trial in candidates) if finish.refit else 0.0)
    jobs = affordable(candidates, baseline_of(plan, trials), finish, known, workers.machine.concurrent, left)
    repeats = list(known)

    def do(jobs: Sequence[Job]) -> None:
        for repeat in run(plan, folder, workers, jobs, clock, interrupts):
            repeats.append(repeat)
            for watcher in watchers:
                watcher.again(repeat)

    do(jobs)
    if finish.refit:
        winner = trials.get(judged(candidates, repeats, finish, trials.mode)[0].trial)
        job = Job(winner, winner.config.seed, winner.trained, refit=True)
        known = any(repeat.refit and repeat.number == winner.number for repeat in repeats) and is_whole(job.weights(folder))
        do([] if known else [job])
    return repeats


def run(plan: Plan, folder: Path, workers: Workers, jobs: Sequence[Job], clock: Clock, interrupts: Interrupts
        ) -> Iterator[Repeat]:
    """Do ``jobs`` on all that a search's trials had, in their order; yield each as it ends, until the time is over."""
    from ray.exceptions import RayError

    from trainables.repeat import repeat

    finish, objective, ray = plan.space.finish, plan.space.objective, workers.ray
    limit = plan.space.schedule.epoch_seconds
    resources = workers.machine.per_trial()
    train = ray.remote(num_cpus=resources["cpu"], num_gpus=resources.get("gpu", 0), max_retries=RETRIES, max_calls=0)(repeat)

    def start(job: Job) -> Any:
        weights = str(job.weights(folder).resolve()) if job.refit or finish.ensemble else None
        return train.remote(job.config, workers.arrays[job.config.image_size], fit=workers.fit, metric=objective.name,
                            formula=objective.formula, weights=weights, refit=job.refit, seconds=limit,
                            stacks=str(job.stacks(folder).resolve()))

    pending = {start(job): job for job in jobs}
    while pending and clock.left_again > 0 and not interrupts.stopped:
        for reference in ray.wait(list(pending), timeout=POLL_SECONDS)[0]:
            job = pending.pop(reference)
            try:
                yield told(job, ray.get(reference))
            except RayError as problem:
                yield told(job, {"failure": Kind.LOST.value, "message": first_line(problem), "seconds": 0.0})
    for reference in pending:
        ray.cancel(reference, force=True)


def told(job: Job, result: dict[str, Any]) -> Repeat:
    """Return what a worker's result says of its job.

    Raises:
        EnvironmentProblem: the machine is to blame, which is no training's fault.
    """
    from trainables.trial import MACHINE

    if result.get("failure") == MACHINE:
        raise EnvironmentProblem(f"{result['message']}; then go on with `resume`")
    return Repeat(job.trial.number, job.seed, refit=job.refit, **result)
