"""Everything that can be known before training: what `check` prints and what `run` starts from."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.about import About
from search.errors import SpaceError
from search.limits import broken, check_limits, least
from search.networks import Network, count_all, ends, memory
from search.resources import Machine, this_machine
from search.space import Space, values_of
from trainables.config import TrialConfig
from trainables.cost import STATES, Cost
from trainables.data import Catalog, Images, Split, TrialData, load_rows, scan, split, trial_data
from trainables.data.files import FilePixels
from trainables.data.residence import DEVICE_SHARE, decoded_bytes, describe, host_limit
from trainables.data.targets import some
from trainables.errors import BadInput
from trainables.memory import USABLE
from trainables.models import published

CHECKPOINTS = 3  # of a trial at most: the last two, and one of which the disk is sure
SLOW_SECONDS, SLOW_BYTES = 10.0, 10e6  # a disk that takes longer, and brings less a second, is worth a word


@dataclass(frozen=True)
class Plan:
    """A space beside its data, its networks and its machine, found to fit together.

    ``networks`` are those that exist; ``impossible`` says why an architecture does not take an image size.
    """

    space: Space
    catalog: Catalog
    split: Split
    machine: Machine
    networks: tuple[tuple[Network, Cost], ...]
    impossible: dict[tuple[str, int], str]
    rungs: tuple[int, ...]

    def residence(self) -> str:
        """Return in one line what the decoded images take and where they will be while trials train on them."""
        rows, sizes = len(self.split.pool) + len(self.split.val), list(self.space.values("image_size"))
        share = DEVICE_SHARE * USABLE * self.machine.gpu_memory / self.machine.trials_per_gpu if self.machine.gpu_memory else None
        return describe(rows, self.catalog.planes, sizes, host=host_limit(), device=share and int(share))

    @property
    def channels(self) -> int:
        return self.catalog.channels

    def disk_bytes(self, images: bool = True) -> int:
        """Return about how many bytes a search takes on its disk at once, its largest network taken for all of them.

        That are the decoded ``images``, the weights of trials that run or may still be chosen, their checkpoints, and the
        model with its ONNX file, which MLflow keeps, too. A front of several objectives may hold more trials than that, and
        what a trial leaves for ever, some 25 kB, is not counted.
        """
        finish, sizes = self.space.finish, self.space.values("image_size") if images else ()
        decoded = sum(decoded_bytes(len(self.catalog), self.catalog.planes, size) for size in sizes)
        states = 1 + max(1, *(STATES[name] for name in self.space.values("optimizer")))  # 1 by momentum
        weights = 1 + max(1, finish.top) + self.machine.concurrent + finish.ensemble * (finish.seeds - 1) + finish.refit
        copies = weights + CHECKPOINTS * self.machine.concurrent * states + 2 * 2
        tried = [cost.params for _, cost in self.networks
                 if not any(broken(self.space.limits, cost.figures(memory(self.space, cost)[0])))]
        return decoded + 4 * copies * max(tried, default=0)

    @property
    def about(self) -> About:
        """The data and its split in numbers."""
        catalog, parts = self.catalog, self.split
        return About(
            task=catalog.target.task, tally=catalog.targets.tally(), rows=len(catalog), channels=self.channels,
            sizes=catalog.sizes, fingerprint=catalog.fingerprint, pool=len(parts.pool), val=len(parts.val),
            test=len(parts.test), dropped=len(parts.dropped), duplicates=parts.duplicates, conflicts=len(parts.conflicts),
            attributes={name: dict(Counter(values)) for name, values in catalog.attributes.items()},
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines for the user about what is allowed in space and data but hardly meant or never tried."""
        data, size = map(self.space.where, ("data.root", "space.image_size"))
        found = [f"{data}: data: {warning}" for warning in self.data_warnings]
        found += [f"{size}: space.image_size: {reason}; these are never tried together" for reason in self.impossible.values()]
        return (*self.space.warnings, *found)

    @property
    def data_warnings(self) -> tuple[str, ...]:
        """Those about the data: what its targets hold, and files that come so slowly that a copy of them would pay."""
        found = list(self.catalog.targets.warnings)
        if left_out := self.catalog.left_out:
            total = len(self.catalog) + len(left_out)
            found.append(f"{len(left_out)} of {total} images cannot be read and are left out: {some(left_out)}")
        if isinstance(pixels := self.catalog.pixels, FilePixels):
            rate = pixels.bytes / max(pixels.seconds, 1e-9)
            if pixels.seconds > SLOW_SECONDS and rate < SLOW_BYTES:
                what = f"the disk took {pixels.seconds:.0f} s for {len(self.catalog):,} images, {rate / 1e6:.1f} MB a second"
                found.append(f"{what}, and each start reads them twice; copy them to a disk of this machine")
        return tuple(found)


def make_plan(space: Space, machine: Machine | None = None, catalog: Catalog | None = None) -> Plan:
    """Read the data's rows, split them, and hold every choice of ``space`` against them. Creates nothing.

    Args:
        catalog: the data, where it need not be read.

    Raises:
        SpaceError: the first thing that does not fit, with the place in the space file.
    """
    try:
        machine = machine or this_machine(space.resources)
        _check_budget(space, machine)
        catalog = scan(space.data) if catalog is None else catalog
        parts = split(catalog, space.data.test, space.data.val, space.data.seed)
        _check_batches(space, len(parts.pool))
        _check_starts(space)
        counted, impossible = count_all(space, catalog.channels, catalog.target.outputs, catalog.target.maps)
        check_limits(space.limits, least(space, counted))
    except BadInput as problem:
        raise SpaceError.of(problem, space.where) from None
    return Plan(space, catalog, parts, machine, tuple(counted), impossible, space.schedule.rungs())


def _check_budget(space: Space, machine: Machine) -> None:
    """Refuse a budget that nothing would ever spend."""
    if space.budget.gpu_hours is not None and not machine.gpus:
        wrong = f"{space.budget.gpu_hours:g} hours of a GPU, and no GPU is used here; give budget.minutes, or remove it"
        raise BadInput(wrong, key="budget.gpu_hours")


def _check_batches(space: Space, pool: int) -> None:
    """Refuse a batch that is larger than the rows of the smallest split ratio that it can meet."""
    for ratios, batches in space.forms("split_ratio", "batch_size"):
        ratio, largest = ends(ratios)[0], ends(batches)[1]
        rows = max(1, round(ratio * pool))
        if largest > rows:
            raise BadInput(f"batch_size: {largest} is more than the {rows} training rows at split_ratio {ratio:g}; "
                           f"give at most {rows}", key="space.batch_size")


def _check_starts(space: Space) -> None:
    """Refuse pretrained networks for which there are no weights, and weights that no network would start from."""
    starts = list(starting_points(space))
    for name, weights in starts:
        published.check(name, weights)
    if not starts and any(space.values("weights")):
        wrong = "nothing starts from this file while pretrained is false; set pretrained: true, or remove it"
        raise BadInput(wrong, key="space.weights")


def starting_points(space: Space) -> Iterator[tuple[str, str | None]]:
    """Yield each architecture that may start pretrained, with the file of weights that it starts from, if any."""
    for pretrained, *others in space.forms("pretrained", "architecture", "weights"):
        if True in values_of(pretrained):
            yield from itertools.product(*map(values_of, others))


def decode(plan: Plan, cache: Path) -> dict[int, TrialData]:
    """Decode the rows that trials may see, once for every image size; the sealed rows are not among them.

    The weights that trials start from are brought here, too.

    Raises:
        SpaceError: an image cannot be read, or weights cannot be had or do not fit.
    """
    try:
        fetch_weights(plan)
        return trial_data(plan.catalog, plan.split, plan.space.values("image_size"), cache)
    except BadInput as problem:
        raise SpaceError.of(problem, plan.space.where) from None


def fetch_weights(plan: Plan) -> None:
    """Download the weights that trials start from, where they are not here yet, and hold them against the networks.

    Raises:
        BadInput: they cannot be had, read or fitted.
    """
    starts = list(starting_points(plan.space))
    if not starts:
        return  # and torch stays out of the driver
    from trainables.models.pretrained import starting_weights

    for (name, weights), (network, _) in itertools.product(starts, plan.networks):
        if name == network.architecture:
            config = TrialConfig(architecture=name, pretrained=True, weights=weights, image_size=network.size,
                                 **network.options)
            starting_weights(config, plan.channels, plan.catalog.target.outputs)


def sealed_images(plan: Plan, size: int, cache: Path) -> Images:
    """Decode the sealed rows at ``size`` pixels. Only the finish calls this."""
    rows = plan.split.test
    return Images(load_rows(plan.catalog, rows, size, plan.channels, cache), plan.catalog.targets.array(rows, size))


def sealed_groups(plan: Plan) -> list[str] | None:
    """Return the group of each sealed row, in the order of `sealed_images`, or None where the data has no groups."""
    groups = plan.catalog.groups
    return None if groups is None else [groups[row] for row in plan.split.test.tolist()]


def as_dict(plan: Plan) -> dict[str, Any]:
    """Return what `check --json` prints."""
    space, about = plan.space, plan.about
    shown = ("rows", "channels", "sizes", "fingerprint", "pool", "val", "test", "dropped", "attributes", "duplicates",
             "conflicts")
    return {
        "space": space.as_dict(),
        "data": {
            "task": about.task, about.target.noun: about.tally, **{name: getattr(about, name) for name in shown},
            "residence": plan.residence(),
        },
        "combinations": space.combinations(),
        "architectures": [
            {"architecture": network.label, "image_size": network.size, "params": cost.params, "macs": cost.macs,
             "attention_macs": cost.attention_macs, "thop_macs": cost.thop_macs, "memory": memory(space, cost)[1],
             "forbidden": list(broken(space.limits, cost.figures(memory(space, cost)[0])))}
            for network, cost in plan.networks
        ],
        "rungs": [*plan.rungs, space.schedule.max_epochs],
        "machine": {"cpus": plan.machine.cpus, "gpus": plan.machine.gpus, "concurrent": plan.machine.concurrent},
        "disk_bytes": plan.disk_bytes(),
        "warnings": list(plan.warnings),
    }
