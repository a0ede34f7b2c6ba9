"""The end of a search: the best model scored once on rows that no trial saw, written, and registered in MLflow."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search.champion import tags_of
from search.clock import Clock
from search.diagnosis import RungCheck, check_rungs
from search.endings import State
from search.errors import NoUsableTrial
from search.exports import Export, export
from search.folder import write_summary
from search.front import Hypervolume, Point, covered, front
from search.interrupt import Interrupts
from search.model_card import model_card
from search.plan import Plan
from search.redact import redacted
from search.repeats import Candidate, Repeat, baseline_of, finalists, judged
from search.sealed import Difference, Judged, Score, Sealed, compare
from search.tracking import Tracker
from search.trials import Trial, Trials
from trainables.card import Card, write_model
from trainables.config import TrialConfig
from trainables.files import is_whole, repeat_file, weights_file

if TYPE_CHECKING:
    from torch import nn

    from trainables.tasks.task import Task

MANY_FAILED = 0.2  # share of failed trials beyond which a search is complete, but hardly what was meant


@dataclass(frozen=True)
class Baseline:
    """The first trial's configuration beside the winner's, trained the same way and scored on the same sealed rows.

    Attributes:
        val: its objective on the validation rows, ``mean`` over ``seeds`` seeds where it was trained again.
        sealed: its score on the sealed rows.
        gain: how much better the winner is there.
    """

    trial: int
    val: float
    mean: float
    seeds: int
    sealed: Score
    gain: Difference


@dataclass(frozen=True)
class Outcome:
    """What a search found; the fields of `best --json`.

    Attributes:
        task: classification, landmarks or segmentation.
        trial: number of the best trial; ``trial_state`` is COMPLETE, or PRUNED where none ran to its end.
        metric: what the objective is called; where it is ``objective``, ``formula`` says what that is.
        params: its searched parameters, None where one does not apply; ``config`` has them all.
        val: its objective on the validation rows; where no trial ran to its end, after the epoch that the model is of.
        test: the objective's value on the sealed rows.
        test_interval: lower and upper end of its 95 % interval, by ``interval_method``.
        optimism: how much better ``val`` is than ``test``: what picking the best of many adds.
        trials: trials by end state.
        rungs: how far the order at each rung agreed with that of the finished trials' last epochs.
        model: folder of `model.safetensors` and `model.json`.
        ended_by: what ended the search, one of `Stop`.
        front: of several objectives, the finished trials that no other one beats in all of them together.
        hypervolume: how much the front covers, and how that grew.
        registered: URI by which MLflow serves the model: its alias, or where it is not the champion its version.
        champion: whether the alias points to it; ``verdict`` says why it does or does not.
        details: what the task shows of the sealed rows beside its metrics, such as the confusion matrix.
        candidates: the finalists, the winner first, with their values from each seed that all of them were trained from.
        baseline: what the search has to be better than; None where the first trial did not run to its end.
        extras: sealed scores of what `finish:` asks for beside the model: ``ensemble``, ``flips``, ``refit``.
        exports: the files of the model, with their size, their speed on this machine and how they agree.
        notes: lines on what of the finish could not be done, and why.
    """

    name: str
    state: str
    metric: str
    trial: int
    trial_state: str
    params: dict[str, Any]
    config: dict[str, Any]
    val: float
    test: float
    test_interval: tuple[float, float]
    interval_method: str
    test_rows: int
    trials: dict[str, int]
    failures: dict[str, int]
    rungs: list[RungCheck]
    model: str
    registered: str
    tracking: str
    experiment_id: str
    run_id: str
    seconds: float
    details: dict[str, Any]
    ended_by: str
    task: str = ""
    formula: str | None = None
    optimism: float | None = None
    candidates: list[Candidate] = field(default_factory=list)
    baseline: Baseline | None = None
    extras: dict[str, Score] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    version: str = ""
    champion: bool = True
    verdict: str = ""
    front: list[Point] = field(default_factory=list)
    hypervolume: Hypervolume | None = None

    @property
    def exit_status(self) -> int:
        """The command's: 0, or 3 where more than `MANY_FAILED` of the trials failed."""
        return 3 if self.trials[State.FAILED] > MANY_FAILED * sum(self.trials.values()) else 0


def finish(plan: Plan, folder: Path, cache: Path, trials: Trials, repeats: Sequence[Repeat], tracker: Tracker, clock: Clock,
           interrupts: Interrupts) -> Outcome:
    """Score the best trial once on the sealed rows, write and register its model, and record it all.

    The model is the winner as it was trained in the search: ``repeats`` say which configuration is the best, and none of
    their weights is picked by its score.

    Raises:
        NoUsableTrial: no trial has a score and weights.
        Interrupted: a signal came; nothing is registered.
    """
    from trainables.export import read_model

    candidates = judged(finalists(trials, folder, plan.space.finish), repeats, plan.space.finish, trials.mode)
    best = trials.get(candidates[0].trial) if candidates else choose(trials, folder)
    write_best(plan, folder, best)
    row = trials.kept(best)
    val = row[trials.metric]
    sealed, (model, card) = Sealed(plan, cache), read_model(folder / "model")
    found = sealed.judge(model, best.config)
    extras = dict(beside(plan, folder, best, model, candidates, sealed))
    baseline = beaten(plan, folder, trials, repeats, found, sealed, best)
    exports = list(export(folder / "model", model, found.task, card, sealed.images(card.size).pixels))
    sign = 1 if trials.mode == "max" else -1
    outcome = Outcome(
        name=folder.name, state="complete", metric=trials.metric, trial=best.number, trial_state=best.ending.state.value,
        params={name: best.params.get(name) for name in plan.space.searched},
        config=dataclasses.asdict(best.config), val=val, test=found.score.value,
        test_interval=found.score.interval, interval_method=found.score.method, test_rows=len(plan.split.test),
        trials=trials.counts(), failures=failures(trials), rungs=check_rungs(trials, plan.rungs),
        model=str(folder / "model"), registered="", tracking=redacted(tracker.uri),
        experiment_id=tracker.experiment_id, run_id=tracker.parent, seconds=clock.elapsed, details=found.details,
        ended_by=trials.stop.value, formula=plan.space.objective.formula,
        optimism=sign * (val - found.score.value), candidates=candidates, baseline=baseline, extras=extras,
        exports=exports, notes=[*cut_short(best, row), *notes(plan, folder, trials, repeats, candidates, extras)],
        front=front(trials), hypervolume=covered(plan, trials), task=plan.catalog.target.task,
    )
    tracker.flush()
    interrupts.check()
    return registered(plan, folder, outcome, model, found.task, sealed, tracker, clock)


def registered(plan: Plan, folder: Path, outcome: Outcome, model: nn.Module, task: Task, sealed: Sealed, tracker: Tracker,
               clock: Clock) -> Outcome:
    """Register the model with its card, and write what is then known wherever people look for it."""
    from trainables.export import predict

    text = model_card(plan, outcome)
    (folder / "model" / "README.md").write_text(text, encoding="utf-8")
    example = sealed.images(outcome.config["image_size"]).pixels[:2]
    inputs, outputs = example.astype(np.float32) / 255, predict(model, task, example)
    version = tracker.register(folder / "model", inputs, outputs, tags_of(plan, outcome.test), text)
    outcome = dataclasses.replace(outcome, registered=version.uri, version=version.version, champion=version.champion,
                                  verdict=version.verdict, seconds=clock.elapsed)
    tags = {"best_trial": str(outcome.trial), "model": version.uri}
    tracker.summarise(measured(outcome), tags, outcome.details, version.model_id)
    tracker.mark_best(outcome.trial)
    write_summary(folder, dataclasses.asdict(outcome))
    return outcome


def beside(plan: Plan, folder: Path, best: Trial, model: Any, candidates: Sequence[Candidate], sealed: Sealed
           ) -> Iterator[tuple[str, Score]]:
    """Yield the sealed score of each thing that `finish:` asks for beside the plain model, as far as it can be had."""
    from trainables.combine import Ensemble, Flipped, flips_of
    from trainables.tasks.task import make_task

    finish, config, task = plan.space.finish, best.config, make_task(plan.catalog.target, best.config)
    seeds = [repeat_file(folder, best.number, str(seed)) for seed in (candidates[0].seeds[1:] if candidates else ())]
    members = [rebuilt(plan, config, file) for file in seeds if is_whole(file)]
    refit = repeat_file(folder, best.number, "refit")
    if finish.ensemble and members:
        yield "ensemble", sealed.judge(Ensemble([model, *members], task), config).score
    if finish.flips and (flips := flips_of(config)):
        yield "flips", sealed.judge(Flipped(model, task, flips), config).score
    if finish.refit and is_whole(refit):
        yield "refit", sealed.judge(rebuilt(plan, config, refit), config).score


def beaten(plan: Plan, folder: Path, trials: Trials, repeats: Sequence[Repeat], found: Judged, sealed: Sealed, best: Trial
           ) -> Baseline | None:
    """Return the baseline beside the model ``found``; None where there is none."""
    trial = baseline_of(plan, trials)
    if trial is None or trial is best or not is_whole(weights_file(folder, trial.number)):
        return None
    try:
        theirs = sealed.judge(rebuilt(plan, trial.config, weights_file(folder, trial.number)), trial.config)
    except NoUsableTrial:
        return None
    [candidate] = judged([trial], repeats, plan.space.finish, trials.mode)
    gain = compare(found, theirs, trials.mode)
    return Baseline(trial.number, trial.ending.value, candidate.mean, len(candidate.values), theirs.score, gain)


def notes(plan: Plan, folder: Path, trials: Trials, repeats: Sequence[Repeat], candidates: Sequence[Candidate],
          extras: dict[str, Score]) -> Iterator[str]:
    """Yield a line on each part of the finish that could not be done as the space asks."""
    finish = plan.space.finish
    wanted = min(finish.top, len(finalists(trials, folder, finish)))
    if candidates and wanted and (len(candidates) < wanted or len(candidates[0].seeds) < finish.seeds):
        seeds = f"{len(candidates[0].seeds)} of {finish.seeds} seeds"
        yield f"time for {len(candidates)} of {wanted} candidates and {seeds}; give more minutes, or lower finish.top"
    if candidates and baseline_of(plan, trials) is trials.get(candidates[0].trial):
        yield "the winner is the baseline: the search found nothing better"
    yield from left_out(trials, folder)
    for repeat in repeats:
        if repeat.failure:
            yield f"trial {repeat.number} failed when it was trained again from seed {repeat.seed}: {repeat.failure}"
    reasons = {"ensemble": "no further seed of the winner was trained", "flips": "the winner was trained without flips",
               "refit": "no time was left to train it"}
    for name, reason in reasons.items():
        if getattr(finish, name) and name not in extras:
            yield f"finish.{name}: {reason}"


def left_out(trials: Trials, folder: Path) -> Iterator[str]:
    """Yield a line on each trial that cannot be the winner since its weights were damaged."""
    for trial in trials.ranked():
        if (file := weights_file(folder, trial.number)).exists() and not is_whole(file):
            yield f"trial {trial.number} is left out: its weights are no longer those that were written, by their sha256"


def measured(outcome: Outcome) -> dict[str, float]:
    """Return the numbers of an outcome that MLflow's parent run shows."""
    low, high = outcome.test_interval
    found = {"val": outcome.val, "test": outcome.test, "test_low": low, "test_high": high, "optimism": outcome.optimism}
    if outcome.baseline:
        gain = outcome.baseline.gain
        found |= {"baseline_test": outcome.baseline.sealed.value, "gain": gain.value, "gain_p": gain.p}
    return found | {f"{name}_test": score.value for name, score in outcome.extras.items()}


def choose(trials: Trials, folder: Path) -> Trial:
    """Return the best trial whose weights are there: a finished one if any, else the one that came farthest.

    Raises:
        NoUsableTrial: with what became of the trials, and the mend.
    """
    for trial in trials.ranked():
        if is_whole(weights_file(folder, trial.number)):
            return trial
    counts = ", ".join(f"{number} {state.lower()}" for state, number in trials.counts().items() if number)
    kinds = ", ".join(f"{number} {kind}" for kind, number in failures(trials).items())
    mend = f"see {folder / 'errors'}" if trials.counts()[State.FAILED] else "give more minutes, or lower schedule.max_epochs"
    raise NoUsableTrial(f"no trial came to a score ({counts or 'none started'}{'; ' + kinds if kinds else ''}); {mend}")


def cut_short(trial: Trial, row: dict[str, Any]) -> Iterator[str]:
    """Yield a line where the model is not that of the trial's last epoch."""
    if row["epoch"] != trial.epoch:
        yield (f"trial {trial.number} was cut short after epoch {trial.epoch}: model and validation score are those of epoch "
               f"{row['epoch']}, the last rung; give more minutes")


def card_of(plan: Plan, config: TrialConfig) -> Card:
    """Return everything that rebuilds the network of ``config``."""
    return Card(architecture=config.architecture, channels=plan.channels, size=config.image_size,
                target=plan.catalog.target, dropout=config.dropout, config=dataclasses.asdict(config))


def write_best(plan: Plan, folder: Path, best: Trial) -> None:
    """Write the best trial's weights and everything that rebuilds its network to ``folder/model``."""
    write_model(folder / "model", weights_file(folder, best.number), card_of(plan, best.config))


def rebuilt(plan: Plan, config: TrialConfig, weights: Path) -> nn.Module:
    """Return the network of ``config`` with the weights in a file."""
    from trainables.export import rebuild

    return rebuild(card_of(plan, config), weights)


def failures(trials: Trials) -> dict[str, int]:
    """Return how many trials failed of each kind."""
    return dict(Counter(trial.ending.kind.value for trial in trials.ended(State.FAILED)))
