"""What a person sees while a search runs: one live picture on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search.clock import Clock
from search.endings import State
from search.load import Load
from search.plan import Plan
from search.repeats import Repeat
from search.rung_table import rung_table
from search.trials import Trial, Trials

REFRESH_PER_SECOND = 2
STATUS_SECONDS = 30  # between two lines of plain output in which nothing ended
SHOWN_TRIALS = 12


class Silent:
    """Shows nothing; what `run_search` uses when it is called from a program."""

    def phase(self, text: str) -> None:
        """Say what the search is doing."""

    def note(self, text: str) -> None:
        """Say what is to be read afterwards, too."""

    @contextmanager
    def showing(self, plan: Plan, trials: Trials, clock: Clock, name: str = "") -> Iterator[None]:
        """Show ``trials`` of the search ``name``, by default the space's, until the context ends."""
        yield

    def begin(self, trial: Trial) -> None:
        """Note that a trial has begun."""

    def epoch(self, trial: Trial, row: dict[str, Any]) -> None:
        """Note that a trial has reported an epoch."""

    def end(self, trial: Trial) -> None:
        """Note that a trial has ended."""

    def again(self, repeat: Repeat) -> None:
        """Note that a trial was trained again."""


class Patient:
    """Text stream that hands on to ``stream`` until that takes no more, as a terminal that was closed, and then says nothing."""

    def __init__(self, stream: TextIO):
        self._stream, self._deaf = stream, False

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, do: Callable[[], Any]) -> None:
        try:
            if not self._deaf:
                do()
        except (OSError, ValueError):
            self._deaf = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Progress(Silent):
    """Shows the search on ``stream``: live where that is a terminal, else a line an event. Where nobody reads it any more, the
    search goes on all the same.

    ``stream`` must not be file descriptor 1 or 2, which the log has while the search runs, but a copy of it.
    """

    def __init__(self, stream: TextIO):
        self.console = Console(file=Patient(stream), highlight=False)
        self._text = ""
        self._plan: Plan | None = None
        self._best: int | None = None
        self._last_line = time.monotonic()

    def phase(self, text: str) -> None:
        self._text = text
        if self._plan is None or not self.console.is_terminal:
            self.console.print(f"{text} …", style="dim", soft_wrap=True)

    def note(self, text: str) -> None:
        self._print(text)

    @contextmanager
    def showing(self, plan: Plan, trials: Trials, clock: Clock, name: str = "") -> Iterator[None]:
        self._plan, self._trials, self._clock, self._machine = plan, trials, clock, Load(plan.machine)
        self._name = name or plan.space.name
        for warning in plan.data_warnings:
            self._print(f"warning: {warning}")
        if not self.console.is_terminal:
            yield
            return
        with Live(self, console=self.console, refresh_per_second=REFRESH_PER_SECOND, transient=True,
                  redirect_stdout=False, redirect_stderr=False):
            yield

    def begin(self, trial: Trial) -> None:
        self._text = "searching"

    def epoch(self, trial: Trial, row: dict[str, Any]) -> None:
        if not self.console.is_terminal and time.monotonic() - self._last_line > STATUS_SECONDS:
            self._print(f"{self._status()} | {self._pace()}")

    def end(self, trial: Trial) -> None:
        best = self._trials.best()
        better = best is not None and best is trial and best.number != self._best
        self._best = best.number if best else None
        if not self.console.is_terminal:
            line = f"{clock_text(self._clock.elapsed)}  {ended(trial, self._trials.metric)}"
            self._print(f"{line}  <- best" if better else line)

    def again(self, repeat: Repeat) -> None:
        name = "on all its rows" if repeat.refit else f"from seed {repeat.seed}"
        score = f" {self._trials.metric} {score_text(repeat.value)}" if repeat.value is not None else ""
        failed = f" FAILED ({repeat.failure}: {repeat.message})" if repeat.failure else ""
        self._text = line = f"trial {repeat.number} again {name}:{score}{failed} in {repeat.seconds:.0f} s".replace(": in", " in")
        if not self.console.is_terminal:
            self._print(f"{clock_text(self._clock.elapsed)}  {line}")

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        self.console.print(line, soft_wrap=True, markup=False)

    def _status(self) -> str:
        """Return the budget, the endings and the best so far in one line."""
        trials, counts = self._trials, self._trials.counts()
        limit = self._plan.space.budget.trials
        spent = clock_text(self._clock.elapsed) + (f" of {clock_text(self._clock.seconds)}" if self._clock.seconds else "")
        number = f"{len(trials)}" + (f" of {limit}" if limit else "")
        left = f", {clock_text(max(0, self._clock.left))} left for trials" if self._clock.seconds else ""
        return (f"{spent}{left} | {number} trials: {len(trials.running())} running, {counts[State.COMPLETE]} complete, "
                f"{counts[State.PRUNED]} stopped early, {counts[State.FAILED]} failed")

    def __rich__(self) -> Group:
        """Return the picture of this moment; rich asks for it a few times a second."""
        best, metric = self._trials.best(), self._trials.metric
        searched = self._plan.space.searched
        lines = [self._status(), self._pace(), self._machine.describe(self._trials.running())]
        table = Table(box=None, padding=(0, 2, 0, 0), expand=True)
        for heading in ("trial", "epoch", metric):
            table.add_column(heading, overflow="ellipsis", no_wrap=True)
        table.add_column("parameters", overflow="ellipsis", no_wrap=True, ratio=1)  # has what room the others leave
        for trial in self._trials.running()[:SHOWN_TRIALS]:
            score = score_text(trial.rows[-1][metric]) if trial.rows else "-"
            table.add_row(str(trial.number), f"{trial.epoch}/{trial.config.epochs}", score, parameters(trial, searched))
        found = "none yet"
        if best is not None:
            found = f"{score_text(best.ending.value)} by trial {best.number}: {parameters(best, searched)}"
        parts = [Text(f"{self._name}: {self._text}", style="bold"), *map(Text, filter(None, lines)),
                 Text(f"best {metric}: {found}")]
        return Group(*parts, *([self._rungs()] if self._plan.rungs else []), table)

    def _pace(self) -> str:
        """Return how fast it goes, when it will have ended, and what failed."""
        trials = self._trials
        ended, kinds = len(trials) - len(trials.running()), Counter(trial.ending.kind for trial in trials.ended(State.FAILED))
        failed = "".join(f", {count} {kind}" for kind, count in kinds.items())
        images = sum(trial.rows[-1].get("images_per_second", 0.0) for trial in trials.running() if trial.rows)
        pace = f"{60 * ended / max(1.0, self._clock.elapsed):.1f} trials a minute, {images:,.0f} images a second"
        return pace + (f"; failed{failed[1:]}" if failed else "")

    def _rungs(self) -> Table:
        """Return the rungs as a table."""
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("rung", "came", "stopped", "went on", f"best {self._trials.metric}"):
            table.add_column(heading, overflow="ellipsis", no_wrap=True)
        for rung in rung_table(self._trials, self._plan.rungs):
            best = "-" if rung.best is None else score_text(rung.best)
            table.add_row(f"epoch {rung.epoch}", str(rung.reached), str(rung.stopped), str(rung.passed), best)
        return table


@contextmanager
def progress_on(number: int) -> Iterator[Progress]:
    """Yield what shows a search on a copy of file descriptor ``number``."""
    stream = os.fdopen(os.dup(number), "w", errors="backslashreplace")
    try:
        yield Progress(stream)
    finally:
        with suppress(OSError):  # where nobody reads what is left in its buffer
            stream.close()


def ended(trial: Trial, metric: str) -> str:
    """Return one line on how ``trial`` ended; the seconds of one that has a score are those of its epochs, without pauses."""
    ending, seconds = trial.ending, trial.seconds if trial.ending.value is None else trial.trained
    score = f" {metric} {score_text(ending.value)}" if ending.value is not None else ""
    why = f" ({ending.kind}{': ' + ending.message if ending.message else ''})" if ending.kind else ""
    return f"trial {trial.number:<4} {ending.state:<8}{score} after {trial.epoch} epochs, {seconds:.0f} s{why}"


def parameters(trial: Trial, names: Iterable[str]) -> str:
    """Return the searched parameters of ``trial`` in one line."""
    return " ".join(f"{name}={short(trial.params[name])}" for name in names if name in trial.params)


def short(value: Any) -> str:
    return "not set" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def score_text(value: float) -> str:
    """Return a score with four places; a formula's may be of any size, and has four digits where that says too little."""
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 10_000 else f"{value:.4g}"


def clock_text(seconds: float) -> str:
    """Return a duration as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
