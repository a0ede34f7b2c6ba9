"""What no trial may cost, and which shapes cannot be: known before a trial starts, so that what is forbidden costs nothing."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import SpaceError
from search.networks import Network, memory
from search.sections import Limits
from search.space import Space
from trainables.config import TrialConfig
from trainables.cost import Cost, figures, options_taken
from trainables.errors import BadInput
from trainables.files import write_text_whole
from trainables.models import MODELS

if TYPE_CHECKING:
    from search.plan import Plan

FILE = "latency.json"
UNITS = {
    "params_m": "M parameters", "macs_g": "G MACs", "flops_g": "G FLOPs", "memory_mb": "MB a step", "latency_ms": "ms an image",
}

Table = list[tuple[Network, dict[str, float]]]


def broken(limits: Limits, found: Mapping[str, float]) -> Iterator[str]:
    """Yield a phrase for each limit that the figures ``found`` exceed."""
    for name, limit in limits.given().items():
        if found.get(name, 0) > limit:
            yield f"{found[name]:.4g} {UNITS[name]}, above limits.{name} {limit:g}"


def least(space: Space, counted: Iterable[tuple[Network, Cost]]) -> Table:
    """Return what each network costs with the batch and the optimizer of ``space`` that need the least memory."""
    return [(network, cost.figures(memory(space, cost)[0])) for network, cost in counted]


def check_limits(limits: Limits, table: Table) -> None:
    """Raise `BadInput` where no network of ``table`` keeps to ``limits``, with the smallest figure that there is."""
    for name, limit in limits.given().items():
        known = [(network, found[name]) for network, found in table if name in found]
        if known and (smallest := min(known, key=itemgetter(1)))[1] > limit:
            wrong = f"{limit:g} forbids every network; the smallest, {smallest[0]}, has {smallest[1]:.4g}; raise it"
            raise BadInput(wrong, key=f"limits.{name}")
    if table and all(any(broken(limits, found)) for _, found in table):
        network, found = table[0]
        wrong = f"together they forbid every network; {network} has {next(broken(limits, found))}; raise one of them"
        raise BadInput(wrong, key="limits")


class Screen:
    """Says of a configuration why it is never to be started.

    Latencies are measured here, once for each network, and kept for later searches; of networks between the ends of a
    searched range when they are first asked for.

    Args:
        cache: folder in which the latencies of this machine are kept.

    Raises:
        SpaceError: no network is quick enough.
    """

    def __init__(self, plan: Plan, cache: Path):
        self._limits, self._impossible = plan.space.limits, plan.impossible
        self._shape, self._maps = (plan.channels, plan.catalog.target.outputs), plan.catalog.target.maps
        self._path = cache / FILE
        self._latencies = read_latencies(self._path)
        if self._limits.latency_ms is None:
            return
        table = [(network, {**found, "latency_ms": self._latency(network.architecture, network.size, network.options)})
                 for network, found in least(plan.space, plan.networks) if not any(broken(self._limits, found))]
        try:
            check_limits(self._limits, table)
        except BadInput as problem:
            raise SpaceError.of(problem, plan.space.where) from None

    def forbids(self, config: TrialConfig) -> str | None:
        """Return why no trial of ``config`` may start, or None where it may."""
        if reason := self._impossible.get((config.architecture, config.image_size)):
            return reason
        if not self._limits.given():
            return None
        found = figures(config, *self._shape, self._maps)
        reason = next(broken(self._limits, found), None)
        if reason or self._limits.latency_ms is None:
            return reason
        taken = {name: value for name, value in config.options().items() if name in options_taken(config.architecture)}
        latency = self._latency(config.architecture, config.image_size, taken)
        return next(broken(self._limits, {"latency_ms": latency}), None)

    def _latency(self, architecture: str, size: int, options: dict[str, Any]) -> float:
        """Return the milliseconds of one image, measured now where it is not known."""
        key = json.dumps([architecture, size, options, *self._shape, platform.node(), platform.machine()])
        if key not in self._latencies:
            from trainables.latency import latency

            channels, outputs = self._shape
            self._latencies[key] = latency(architecture, channels, outputs, size, **options)
            keep = {key: value for key, value in self._latencies.items() if json.loads(key)[0] in MODELS}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text_whole(self._path, json.dumps(keep, indent=1) + "\n")
        return self._latencies[key]


def read_latencies(path: Path) -> dict[str, float]:
    """Return the latencies in ``path``; none where there is no such file or it is damaged."""
    try:
        known = json.loads(path.read_text()).items()
        return {key: float(value) for key, value in known if json.loads(key)[0] in MODELS}
    except (FileNotFoundError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return {}
