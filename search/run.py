"""One search from its first line to its last. Read this first: it is the table of contents of the project."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from numpy.typing import ArrayLike

from search import folder as folders
from search.clock import Clock
from search.finish import Outcome, finish
from search.in_memory import keep, with_images
from search.interrupt import Interrupts
from search.limits import Screen
from search.meter import Meter
from search.output import output_to
from search.packing import Packing
from search.plan import decode, make_plan
from search.prior import gather
from search.progress import Progress, Silent
from search.record import Record, Recorder, begin_record
from search.repeats import Reserve, train_again
from search.report import last_page
from search.resources import cluster_machine
from search.rows import check_rows, keep_rows
from search.space import Space
from search.stores import check_uri, noted, tracking_uri
from search.table import write_table
from search.tracking import Tracker
from search.tuning import begun, search_trials, session_of
from trainables.data import Catalog


@folders.private_files()
def run_search(space: Space, *, images: ArrayLike | None = None, labels: ArrayLike | None = None,
               classes: ArrayLike | None = None, name: str | None = None, results: str | Path = "results",
               tracking: str | None = None, address: str | None = None, fit=None, progress: Progress | None = None,
               sources: Sequence[str] = ()) -> Outcome:
    """Search ``space``; return what was found, which is then also registered in MLflow and written below ``results``.

    Args:
        images: images in memory that take the place of the space's data source, uint8 (n, height, width),
            (n, height, width, 3) or (n, 3, height, width); they are kept in the search's folder.
        labels: the class of each, (n,), as a name or a whole number; ``classes`` names the numbers from 0.
        name: name of the search, by default the space's.
        tracking: MLflow tracking URI; wins over the space file and MLFLOW_TRACKING_URI.
        address: address of a Ray cluster to join; by default trials run on this machine.
        fit: the training loop, by default `trainables.fit.fit`.
        progress: shows the search while it runs; by default nothing does.
        sources: names of earlier searches below ``results`` from whose trials the sampler learns.

    Raises:
        SearchError: with the exit status and the one line that the command would print. Where the space, the data or
            the machine is to blame, nothing was created.
    """
    results = Path(results)
    folder = folders.claim(results, space.name if name is None else name)
    catalog = None
    if any(given is not None for given in (images, labels, classes)):
        space, catalog = with_images(space, folder, images, labels, classes)
    return conduct(space, folder, None, tracking=tracking, address=address, fit=fit, progress=progress, sources=sources,
                   catalog=catalog)


def conduct(space: Space, folder: Path, record: Record | None, *, tracking: str | None = None, address: str | None = None,
            fit=None, progress: Progress | None = None, clock: Clock | None = None, sources: Sequence[str] = (),
            catalog: Catalog | None = None) -> Outcome:
    """Search ``space`` in ``folder``, from the beginning or, where there is a ``record``, from what it tells.

    The ``clock`` is by default that of the space's budget; a ``catalog`` is data in memory, which is kept in the folder.
    """
    clock = clock or Clock.of(space.budget, record.spent if record else 0.0)
    progress = progress or Silent()
    results = folder.parent

    if not record:
        folders.check_room(folder)
    progress.phase("reading the data")
    uri = check_uri(tracking_uri(space, results, tracking))
    machine = cluster_machine(address, space.resources, progress.phase) if address is not None else None
    plan = make_plan(space, machine, catalog)
    if record:
        check_rows(record, plan.catalog)
    priors = gather(plan, results, sources, progress.note)
    packing = Packing(plan, results)
    plan = dataclasses.replace(plan, machine=packing.machine)
    data = decode(plan, results / "cache")
    if not record:
        folders.check_room(folder, plan.disk_bytes(images=False))
    screen = Screen(plan, results / "cache")
    session = session_of(plan, address, fit)

    with nullcontext() if record else folders.made(folder):
        if catalog is not None:
            keep(catalog, folder)
        record = record or begin_record(folder, space, plan.catalog.fingerprint, plan.about, priors)
        trials = record.trials
        with folders.summarised(folder, trials), output_to(folder / "search.log") as said, Interrupts(said) as interrupts:
            with (
                Recorder(record, clock, interrupts.stop) as recorder,
                nullcontext() if address else Meter(plan.machine.gpus > 0, recorder.use),
                begun(session) as session,
                Tracker(uri, results, plan, folder.name, record, interrupts.check, progress.note, recorder.rename) as tracker,
                progress.showing(plan, trials, clock, folder.name),
            ):
                recorder.start(space.budget, noted(uri, results), plan.machine)
                keep_rows(folder, plan.catalog)
                progress.phase("starting workers")
                watchers = (recorder, tracker, progress, packing, Reserve(plan, trials, clock))
                with search_trials(plan, folder, data, trials, clock, interrupts, watchers, packing.refuses, screen.forbids,
                                   session, fit, record.events, record.priors) as workers:
                    interrupts.check()
                    progress.phase("training the best again")
                    repeats = train_again(plan, folder, workers, trials, record.repeats, clock, interrupts, (recorder, progress))
                interrupts.check()
                progress.phase("scoring the best on the sealed rows")
                outcome = finish(plan, folder, results / "cache", trials, repeats, tracker, clock, interrupts)
                tracker.attach([*write_table(plan, folder, trials), *last_page(folder, (plan.catalog, plan.split))])
                return outcome
