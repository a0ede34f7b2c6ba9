"""The function that Ray Tune calls in a worker: a dict becomes a `TrialConfig`, the loop runs, epochs are reported.

The one file of `trainables` that knows Ray.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import math
import socket
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import ray
from ray import tune

from trainables.config import TrialConfig, is_a
from trainables.cost import figures
from trainables.data import TrialData
from trainables.errors import FULL, NotFinite, TimedOut, Undefined, Unusable, first_line
from trainables.files import checkpoint_folder, error_file, seal, unseal, weights_file, whole
from trainables.formula import Formula
from trainables.memory import keep_freed_memory, keep_to_share, release
from trainables.saver import Saver

if TYPE_CHECKING:
    from trainables.checkpoint import Checkpoint
    from trainables.step import Steps

REPORT_SECONDS = 0.1
MACHINE = "machine"  # a failure that is not the trial's: the search stops, and the trial goes on when it is resumed

Epoch = TypeVar("Epoch")
Fit = Callable[[TrialConfig, TrialData], Iterator[Any]]

_data: dict[str, TrialData] = {}  # what this process already fetched; actors are reused from trial to trial


def train(config: dict[str, Any], *, fit: Fit, arrays: Mapping[int, ray.ObjectRef], metrics: Sequence[str],
          folder: str, saves: Collection[int], formulas: Mapping[str, str], seconds: float | None = None) -> None:
    """Run one trial and report each of its epochs; a failure is reported as an ending, so that the process lives on.

    A trial goes on from its last checkpoint in the search's folder, if one is there. Epochs shorter than
    `REPORT_SECONDS` go together, since a report costs the driver some milliseconds; one that decides something, at a
    rung or without a score, goes at once.

    Args:
        config: ``number`` of the trial, and ``trial``: the fields of its `TrialConfig`.
        fit: the training loop.
        arrays: the data in Ray's object store by image size.
        metrics: keys of the objectives in an epoch's row.
        folder: the search's folder; weights and tracebacks are written below it.
        saves: the rungs: epochs after which trials are compared and the weights are kept, beside the last one.
        formulas: the `Formula` of each objective that the training loop does not report.
        seconds: most that an epoch may take.
    """
    number, failure, rows, reported = config["number"], None, [], time.monotonic()
    checkpoints = checkpoint_folder(folder, number)
    try:
        check_shared(folder)
        trial = TrialConfig(**config["trial"])
        data, save_sometimes = fetch(arrays[trial.image_size]), Saver(checkpoints)
        costs = figures(trial, data.channels, data.target.outputs, data.target.maps) if formulas else {}
        for epoch in timed(begun(fit, trial, data, **start(checkpoints, trial, data)), seconds, error_file(folder, number)):
            row, last = plain(epoch.row(), metrics), epoch.epoch >= trial.epochs
            row |= {name: Formula(text)({**costs, **row}) for name, text in formulas.items()}
            rows.append(row)
            scores = {name: row.get(name) for name in metrics}
            decides = last or epoch.epoch in saves or not all(map(is_score, scores.values()))
            if epoch.model is not None and (last or epoch.epoch in saves):
                save(weights_file(folder, number), epoch.model)
            if decides or time.monotonic() - reported >= REPORT_SECONDS:
                tune.report({"epoch": epoch.epoch, **scores, "rows": rows, "done": last})
                rows, reported = [], time.monotonic()
                if epoch.checkpoint is not None and not last:  # only now, when the driver has all rows up to here
                    save_sometimes(epoch.checkpoint)
    except Exception as problem:  # the boundary of a trial: whatever goes wrong in it ends it, and it alone
        if not isinstance(problem, TimedOut):
            write_error(folder, number)
        failure = {"failure": kind(problem), "message": line(problem), "rows": rows, "done": True}
    if failure:  # reported out here, where the exception no longer holds what the trial had allocated
        if failure["failure"] == "out of memory":
            release(steps())
        tune.report(failure)


def begun(fit: Fit, *given: Any, **options: Any) -> Iterator[Any]:
    """Call ``fit`` when its first epoch is asked for, also where it returns a list."""
    yield from fit(*given, **options)


def plain(row: Mapping[str, Any], metrics: Collection[str]) -> dict[str, Any]:
    """Return ``row`` with numbers of Python in the place of numpy's and torch's, without what is None and no metric."""
    numbers = {name: value.item() if getattr(value, "ndim", None) == 0 else value for name, value in row.items()}
    return {name: value for name, value in numbers.items() if value is not None or name in metrics} | {"epoch": int(row["epoch"])}


def timed(epochs: Iterable[Epoch], seconds: float | None, stacks: Path) -> Iterator[Epoch]:
    """Yield from ``epochs``; one that takes more than ``seconds`` ends this process and leaves its stacks in a file.

    The process, since nothing less ends what hangs in a library's code. Ray then starts the trial in a new one, which
    finds the file.

    Raises:
        TimedOut: the file ``stacks`` tells that this trial has hung before.
        RuntimeError: an epoch called `sys.exit`, by which Ray ends what it has stopped itself.
    """
    epochs = iter(epochs)
    with stacks_file(stacks, seconds) if seconds else contextlib.nullcontext() as file:
        while True:
            if file:
                faulthandler.dump_traceback_later(seconds, exit=True, file=file)
            try:
                epoch = next(epochs)
            except StopIteration:
                return
            except SystemExit as left:
                raise RuntimeError(f"the training loop called sys.exit({left.code!r})") from left
            finally:
                faulthandler.cancel_dump_traceback_later()
            yield epoch


@contextlib.contextmanager
def stacks_file(path: Path, seconds: float) -> Iterator[IO[str]]:
    """Open the file that is left only by a process that an epoch of more than ``seconds`` has ended."""
    if path.exists() and path.read_text().startswith("Timeout"):
        raise TimedOut(f"an epoch took more than {seconds / 60:g} minutes; errors/{path.name} tells where it stood")
    path.parent.mkdir(exist_ok=True)
    try:
        with open(path, "w") as file:
            yield file
    finally:
        path.unlink()


def start(folder: Path, config: TrialConfig, data: TrialData) -> dict[str, Any]:
    """Return ``start`` for the training loop, where a checkpoint in ``folder`` can be gone on from."""
    if not folder.is_dir():
        return {}  # and a stand-in for the loop need not know of checkpoints
    from trainables.checkpoint import newest_checkpoint

    return {"start": newest_checkpoint(folder, config, data.key)}


def is_score(value: Any) -> bool:
    """Tell whether ``value`` is a finite number."""
    return is_a(value, float) and math.isfinite(value)


def default_fit(config: TrialConfig, data: TrialData, start: Checkpoint | None = None) -> Iterator[Any]:
    """Run `trainables.fit.fit`, imported in the worker so that the driver need not load torch."""
    import torch

    from trainables.fit import fit

    assigned = ray.get_runtime_context().get_assigned_resources()
    if assigned.get("GPU"):
        check_gpu()
    torch.set_num_threads(max(1, int(assigned["CPU"])))  # Ray tells by an environment variable, which torch reads at its import
    keep_freed_memory()
    keep_to_share(assigned.get("GPU", 0))
    return fit(config, data, steps=steps(), start=start)


def check_shared(folder: str) -> None:
    """Raise `Unusable` where this node does not see the search's folder: what a trial keeps there would be lost."""
    if not weights_file(folder, 0).parent.is_dir():  # which the driver has made before any trial
        raise Unusable(f"{folder} is not the same folder on node {socket.gethostname()}; mount its disk there, too, or leave "
                       "that node out of the cluster")


def check_gpu() -> None:
    """Raise `Unusable` where torch cannot use the GPU that Ray has given, on which training would silently do without."""
    import torch

    try:
        torch.cuda.init()
    except Exception as problem:  # no such GPU, too old a driver, a torch without CUDA: each raises another kind
        raise Unusable(f"torch {torch.__version__} cannot use the GPU here ({line(problem)}); update its driver, install a torch "
                       "for it, or do without by --set resources.gpus=0") from None


@functools.cache
def steps() -> Steps:
    """Return the training steps that this process keeps from trial to trial."""
    from trainables.step import Steps

    return Steps()


def fetch(reference: ray.ObjectRef) -> TrialData:
    """Return the data behind ``reference``: fetched once a process, without a copy on its node."""
    key = reference.hex()
    if key not in _data:
        _data[key] = ray.get(reference)
    return _data[key]


def kind(problem: Exception) -> str:
    """Name a failure: `MACHINE`, or one of `search.endings.Kind`."""
    if isinstance(problem, NotFinite):
        return "not finite"
    if isinstance(problem, Undefined):
        return "undefined objective"
    if isinstance(problem, Unusable) or full(problem):
        return MACHINE
    if isinstance(problem, TimedOut):
        return "timeout"
    text = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, MemoryError) or "OutOfMemoryError" in text or "can't allocate memory" in text:
        return "out of memory"
    return "error"


def line(problem: Exception) -> str:
    """Return the first line of what went wrong, with the mend where the disk is full."""
    return first_line(problem) + "; make room" * full(problem)


def full(problem: Exception) -> bool:
    """Tell whether the system says that a disk is full."""
    return getattr(problem, "errno", None) in FULL


def write_error(folder: str, number: int) -> None:
    """Keep the traceback of the exception at hand for whoever wants to know."""
    path = error_file(folder, number)
    with contextlib.suppress(OSError):  # on a full disk the line that is reported must do
        path.parent.mkdir(exist_ok=True)
        path.write_text(traceback.format_exc())


def save(path: Path, model: Any) -> None:
    """Write the weights of ``model`` whole or not at all, and seal them; raise `NotFinite` for what no model may be made of."""
    from safetensors.torch import save_file

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if broken := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise NotFinite(f"the weights {broken[0]!r} are not finite")
    path.parent.mkdir(exist_ok=True)
    with whole(path) as part:
        save_file(weights, part)
        unseal(path)  # what is whole without a seal is damaged with another's
    seal(path)
