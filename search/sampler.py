"""What is tried next: the baseline first, then what a model of all epochs so far expects most of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search.endings import Kind, State
from search.parameters import Choice, Parameter
from search.pareto import expected_cover
from search.ranks import normal_scores
from search.space import Space
from search.surrogate import Learnt, Observations, Surrogate, expected_improvement
from search.trials import Prior

STARTUP = 8  # trials before the model is asked
RANDOM_SHARE = 0.1  # of the later trials, so that a wrong model cannot keep the search away from anything
CANDIDATES = 48  # not all that a model could be asked for: its errors are worst at its own optimum
MOST_DRAWS = 1000  # for one candidate that is allowed and new
MOST_LISTED = 100_000  # combinations of a space that is gone through when draws find nothing new
MOST_OBSERVATIONS = 200  # that the model learns from; an ask takes their number to the third
EARLIEST = 1 / 20  # of the epochs: values from before tell little of the end, and mislead the model
BAD = frozenset({Kind.NOT_FINITE, Kind.OUT_OF_MEMORY})  # the configuration is to blame: as bad as the worst value
AGAIN = frozenset({Kind.LOST})  # nobody's fault: it may be tried again

Suggestions = dict[str, Any]
Allowed = Callable[[dict[str, Any]], bool]


@dataclass
class Tried:
    """One configuration that was begun: what was suggested for each parameter, and each objective by epoch, higher better."""

    suggestions: Suggestions
    values: dict[int, tuple[float, ...]] = field(default_factory=dict)
    running: bool = True
    bad: bool = False


class Sampler:
    """Asks for configurations that were not tried yet and are allowed, and learns from every epoch that it is told of.

    A Gaussian process (`search.surrogate`) sees the values at comparable epochs, the rungs, beside the last value of a
    trial that still runs; it predicts the last epoch. The next configuration is that of a few random ones of which most
    improvement is expected. Values are taken by rank, so that one diverged trial or a change of scale does not matter.
    With several objectives each has a process of its own, and what is expected to be covered beside what the trials so
    far cover decides (`search.pareto.expected_cover`).

    Args:
        space: what it draws from, through `Space.draw`.
        priors: trials of earlier searches to learn from.
    """

    def __init__(self, space: Space, priors: Sequence[Prior] = ()):
        self._space = space
        self._allowed: Allowed = lambda params: True
        self._last = space.schedule.max_epochs
        self._levels = comparable_epochs(space)
        self._signs = [1.0 if mode == "max" else -1.0 for mode in space.modes.values()]
        self._random = np.random.default_rng(space.data.seed)
        self._tried: dict[int, Tried] = {}
        self._used: set[Hashable] = set()
        self._parameters = space.labels
        axes = sum(_axes(parameter, [None]).shape[1] for parameter in self._parameters.values())
        self._surrogates = [Surrogate(axes) for _ in self._signs]
        combinations = space.combinations()
        listed = space.search == "grid" or (combinations is not None and combinations <= MOST_LISTED)
        self._every = space.every() if listed else iter(())
        self._priors = [self._learnt(prior) for prior in priors]

    def ask(self, number: int, allowed: Allowed = lambda params: True) -> Suggestions | None:
        """Return what to suggest for each parameter of trial ``number``; None where nothing new is left in the space.

        Args:
            allowed: whether a trial with these parameters may be started at all.
        """
        self._allowed = allowed
        place = len(self._priors) + number  # the draws that an earlier search had would be found tried
        self._random = np.random.default_rng([self._space.data.seed, place])  # the same, also where the search was resumed
        suggestions = self._choose()
        if suggestions is not None:
            self._tried[number] = Tried(suggestions)
            self._used.add(_key(suggestions))
        return suggestions

    def learnt(self) -> list[Learnt]:
        """Return what the models go on from at the next ask, which `take_over` takes."""
        return [surrogate.learnt() for surrogate in self._surrogates]

    def take_over(self, number: int, params: dict[str, Any], learnt: Sequence[Learnt] = ()) -> Suggestions:
        """Know trial ``number``, that was asked for before the search was resumed; return what was suggested for it.

        Args:
            learnt: what the models went on from after that.
        """
        for surrogate, one in zip(self._surrogates, learnt):
            surrogate.take_over(one)
        suggestions = self._suggestions_of(params)
        self._tried[number] = Tried(suggestions)
        self._used.add(_key(suggestions))
        return suggestions

    def _learnt(self, prior: Prior) -> Tried:
        """Return a trial of an earlier search as one of those that this sampler has tried."""
        suggestions = self._suggestions_of(prior.params)
        if prior.repeated:
            self._used.add(_key(suggestions))
        return Tried(suggestions, {epoch: self._signed(values) for epoch, values in prior.values.items()}, running=False)

    def _suggestions_of(self, params: dict[str, Any]) -> Suggestions:
        labelled = self._space.labelled(params)
        return self._suggested(lambda label, parameter: labelled[label])[1]

    def _signed(self, values: Iterable[float]) -> tuple[float, ...]:
        return tuple(sign * value for sign, value in zip(self._signs, values, strict=True))

    @property
    def _known(self) -> list[Tried]:
        return [*self._priors, *self._tried.values()]

    def report(self, number: int, epoch: int, *values: float) -> None:
        """Learn a trial's value of each objective after ``epoch``."""
        self._tried[number].values[epoch] = self._signed(values)

    def end(self, number: int, state: State, kind: Kind | None) -> None:
        """Learn how a trial ended; the README's table says what each ending means."""
        tried = self._tried[number]
        tried.running, tried.bad = False, kind in BAD
        if state is State.FAILED and not tried.bad:
            tried.values.clear()
        if kind in AGAIN:
            self._used.discard(_key(tried.suggestions))

    # What is drawn

    def _choose(self) -> Suggestions | None:
        if self._space.search == "grid":
            return next(self._untried(), None)
        if not self._tried:
            baseline = self._drawn(self._baseline)
            if baseline is not None:
                return baseline
        greedy = len(self._known) >= STARTUP and self._random.random() >= RANDOM_SHARE
        candidates = list(itertools.islice(self._candidates(), CANDIDATES if greedy else 1))
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        return candidates[self._most_promising(candidates)]

    def _candidates(self) -> Iterator[Suggestions]:
        """Yield different configurations that are allowed and were not tried, at random while draws find any."""
        found: set[Hashable] = set()
        while True:
            draws = (self._drawn(self._uniform) for _ in range(MOST_DRAWS))
            suggestions = next((drawn for drawn in draws if drawn is not None and _key(drawn) not in found), None)
            if suggestions is None:
                break
            found.add(_key(suggestions))
            yield suggestions
        if not found:  # what draws do not find any more
            yield from itertools.islice(self._untried(), 1)

    def _untried(self) -> Iterator[Suggestions]:
        """Yield what is left of a finite space, in the order of the file."""
        for params in self._every:
            labelled = self._space.labelled(params)
            suggestions = self._drawn(lambda label, parameter, values=labelled: values[label])
            if suggestions is not None:
                yield suggestions

    def _drawn(self, suggest: Callable[[str, Parameter], Any]) -> Suggestions | None:
        """Return what ``suggest`` makes of the space, by label, or None where it was tried or is not allowed."""
        params, suggestions = self._suggested(suggest)
        return suggestions if _key(suggestions) not in self._used and self._allowed(params) else None

    def _suggested(self, suggest: Callable[[str, Parameter], Any]) -> tuple[dict[str, Any], Suggestions]:
        """Return the parameters that ``suggest`` makes of the space, and what it said by label."""
        suggestions: Suggestions = {}

        def noted(label: str, parameter: Parameter) -> Any:
            suggestions[label] = suggest(label, parameter)
            return suggestions[label]

        return self._space.draw(noted), suggestions

    def _uniform(self, label: str, parameter: Parameter) -> Any:
        return parameter.at(self._random.random())

    def _baseline(self, label: str, parameter: Parameter) -> Any:
        return self._space.baseline_value(label, parameter)

    # What is learnt

    def _most_promising(self, candidates: list[Suggestions]) -> int:
        """Return the index of the candidate of which most improvement over the trials so far is expected."""
        observed, begun = self._observations(), self._known
        if len(set(observed[0].trials.tolist())) < 2:
            return 0
        points = self._points([tried.suggestions for tried in begun] + candidates)
        tried, new = points[: len(begun)], points[len(begun):]
        running = np.flatnonzero([one.running for one in begun])
        outlooks = []
        for surrogate, known in zip(self._surrogates, observed, strict=True):
            surrogate.fit(known)
            if len(running):  # taken to end as expected, so that what runs is not asked for again
                expected, _ = surrogate.predict(tried[running], running)
                surrogate.condition(known.and_also(Observations(tried[running], np.ones(len(running)), running, expected)))
            outlooks.append((surrogate.predict(tried)[0], *surrogate.predict(new)))  # as predicted: chance flatters what is seen
        found, mean, deviation = map(np.column_stack, zip(*outlooks, strict=True))
        if len(outlooks) == 1:
            return int(expected_improvement(mean[:, 0], deviation[:, 0], found.max()).argmax())
        return int(expected_cover(found, mean, deviation, self._random).argmax())

    def _observations(self) -> list[Observations]:
        """Return each objective's values at comparable epochs: the highest rungs', and the newest, where they are too many."""
        begun = self._known
        rows = sorted((epoch, index, value) for index, tried in enumerate(begun) for epoch, value in self._comparable(tried))
        rows = rows[-MOST_OBSERVATIONS:]
        epochs, indices = (np.array([row[part] for row in rows], int) for part in (0, 1))
        values = np.array([row[2] for row in rows]).reshape(-1, len(self._signs))
        times = np.log(epochs) / math.log(self._last) if self._last > 1 else np.ones(len(rows))
        points = self._points([tried.suggestions for tried in begun])[indices]
        return [Observations(points, times, indices, normal_scores(column)) for column in values.T]

    def _comparable(self, tried: Tried) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Yield epoch and values at each rung that a trial came to, and the last value of one that still runs."""
        if tried.bad:
            yield self._last, (-math.inf,) * len(self._signs)
            return
        latest = max(tried.values, default=0)
        for epoch, value in tried.values.items():
            if epoch in self._levels or (tried.running and epoch == latest and epoch >= min(self._levels)):
                yield epoch, value

    def _points(self, all_suggestions: list[Suggestions]) -> np.ndarray:
        """Return configurations as float (n, axes), each axis from 0 to 1."""
        columns = [_axes(parameter, [one.get(label) for one in all_suggestions]) for label, parameter in self._parameters.items()]
        return np.concatenate(columns, axis=1)


def comparable_epochs(space: Space) -> set[int]:
    """Return the epochs after which values of different trials are learnt from: rungs that are late enough, and the last."""
    last = space.schedule.max_epochs
    return {epoch for epoch in (*space.schedule.rungs(), last) if epoch >= EARLIEST * last}


def _key(suggestions: Suggestions) -> Hashable:
    return frozenset(suggestions.items())


def _axes(parameter: Parameter, values: list[Any]) -> np.ndarray:
    """Return the axes (n, k) of one parameter: one where its values have an order, else one a value.

    None, where the parameter does not apply, is the middle of an ordered axis, and off all others.
    """
    if isinstance(parameter, Choice) and not parameter.ordered():
        return np.array([[option == value for option in parameter.values] for value in values]) / math.sqrt(2)
    return np.array([[0.5 if value is None else parameter.share(value)] for value in values])
