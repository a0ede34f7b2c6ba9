"""Inflict faults on real searches at random moments with fixed seeds, and print a row each.

    python -m tests.faults                      # all of them
    python -m tests.faults F1 F3 --repetitions 10

Each repetition is a search of 6 trials (60 in L8) in processes of its own. Afterwards `tests.invariants.check` looks whether
all holds that must. The numbers are those of FAULTS.md's tables; a row says what the fault cost in the worst repetition. Some
need root, or a minute's silence of a server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from search.record import FILE, read_record
from tests.cluster import cluster
from tests.faults.searches import FIRST_RUNG, MOMENTS, SECONDS, Search, Toll
from tests.invariants import MARK
from tests.mlflow_server import served
from trainables.files import checkpoint_epochs, checkpoint_folder

LOCKED_SECONDS = 25  # MLflow waits for 20
DISK = 48 * 2**20
AT_ONCE = 4  # 8 are too many for 2 cores, see RESULTS.md
LONG_TRIALS, LONG_KILLS = 60, 12

Fault = Callable[[Path, Random, ExitStack], Search]


def struck(place: Path, random: Random, *arguments: str, kill: bool = False, **environment: str) -> Search:
    """Start a search, wait for a random moment of it, kill its driver if asked to, and note what its record holds."""
    search = Search(place, *arguments, **environment)
    search.wait(random.randint(*MOMENTS))
    if kill:
        search.kill()
    search.note()
    return search


def resumed(search: Search) -> Search:
    search.resume()
    search.end()
    return search


def killed(place: Path, random: Random, stack: ExitStack) -> Search:
    """SIGKILL of the driver, up to three times in one search."""
    return killed_at(Search(place), random.sample(range(*MOMENTS), random.randint(1, 3)))


def soaked(place: Path, random: Random, stack: ExitStack) -> Search:
    """SIGKILL of the driver, again and again in one long search."""
    return killed_at(Search(place, trials=LONG_TRIALS), random.sample(range(MOMENTS[0], LONG_TRIALS * FIRST_RUNG), LONG_KILLS))


def killed_at(search: Search, moments: Sequence[int]) -> Search:
    """SIGKILL of the driver whenever the record holds as many epochs as one of ``moments``."""
    for epochs in sorted(moments):
        search.wait(epochs)
        search.kill()
        search.note()
        search.resume()
    search.end()
    return search


def signalled(*signals: int) -> Fault:
    """The signals 0.15 s apart, and the status that the search must end with."""

    def fault(place: Path, random: Random, stack: ExitStack) -> Search:
        search = Search(place)
        search.wait(random.randint(*MOMENTS))
        for number in signals:
            search.process.send_signal(number)
            time.sleep(0.15)
        search.end(128 + signals[-1])
        search.note()
        return resumed(search)

    return fault


def worker_killed(place: Path, random: Random, stack: ExitStack) -> Search:
    """SIGKILL of the process that trains one of the trials; the search goes on by itself."""
    search = struck(place, random)
    os.kill(random.choice(list(processes(search.mark, "ray::ImplicitFunc"))), signal.SIGKILL)
    search.hit()
    search.end()
    return search


def ray_killed(place: Path, random: Random, stack: ExitStack) -> Search:
    """SIGKILL of Ray's node on this machine: the driver must say so and end."""
    search = struck(place, random)
    for process in processes(search.mark, "raylet/raylet"):
        os.kill(process, signal.SIGKILL)
    search.end(5)
    return resumed(search)


def node_killed(place: Path, random: Random, stack: ExitStack) -> Search:
    """One of two nodes of a cluster dies with the trial that is on it."""
    nodes = stack.enter_context(cluster(place / "cluster"))
    search = struck(place, random, "--address", nodes.address, **nodes.token)
    nodes.workers[random.randint(0, 1)].kill()
    search.hit()
    search.end()
    return search


def disk_full(place: Path, random: Random, stack: ExitStack) -> Search:
    """The results are on a disk that somebody else fills; then there is room again."""
    results = place / "results"
    results.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", results], check=True)
    stack.callback(subprocess.run, ["umount", "--lazy", results], check=True)
    search = struck(place, random)
    filler = results / "filler"
    with open(filler, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(2**16)):
            pass
    search.end(5)
    filler.unlink()
    return resumed(search)


def record_torn(place: Path, random: Random, stack: ExitStack) -> Search:
    """SIGKILL, and the record's end is lost from a random byte on."""
    search = struck(place, random, kill=True)
    path = search.folder / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: random.randint(whole.index(b"\n") + 1, len(whole) - 1)])
    search.before = read_record(search.folder)
    return resumed(search)


def checkpoint_damaged(place: Path, random: Random, stack: ExitStack) -> Search:
    """SIGKILL, and of every running trial the newest checkpoint, or all, are torn, changed or gone."""
    search = struck(place, random, kill=True)
    for trial in search.before.trials.running():
        folder = checkpoint_folder(search.folder, trial.number)
        epochs = checkpoint_epochs(folder)
        for epoch in epochs[: random.choice((1, len(epochs)))]:
            damage(random.choice((folder / f"{epoch}.json", folder / f"{epoch}.safetensors")), random)
    return resumed(search)


def damage(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    place = random.randrange(len(content))
    match random.choice(("torn", "changed", "gone")):
        case "torn":
            path.write_bytes(content[:place])
        case "changed":
            content[place] ^= 1 << random.randrange(8)
            path.write_bytes(content)
        case "gone":
            path.unlink()


def server_away(comes_back: bool) -> Fault:
    """The tracking server dies; it comes back while the search goes on, or only for its `resume`."""

    def fault(place: Path, random: Random, stack: ExitStack) -> Search:
        server = stack.enter_context(served(place))
        search = struck(place, random, "--tracking", server.uri)
        search.store = Path(server.store.removeprefix("sqlite:///"))
        server.kill()
        search.hit()
        if comes_back:
            search.wait(search.recorded() + 3)
            server.start()
            search.end()
            return search
        search.end(5)
        server.start()
        return resumed(search)

    return fault


def store_locked(place: Path, random: Random, stack: ExitStack) -> Search:
    """Another process holds MLflow's SQLite file for longer than MLflow waits."""
    search = struck(place, random)
    with closing(sqlite3.connect(search.results / "mlflow.db")) as other:
        other.execute("begin exclusive")
        search.hit()
        time.sleep(LOCKED_SECONDS)
        other.rollback()
    search.end()
    return search


def at_once(place: Path, random: Random, stack: ExitStack) -> Search:
    """Several searches start together on a store that is not there yet; the last one's toll stands for all."""
    searches = [Search(place, name=f"tiny{number}") for number in range(AT_ONCE)]
    for search in searches:
        search.end()
    tolls = [search.toll() for search in searches]
    assert not (broken := [toll.broken for toll in tolls if toll.broken]), broken
    return searches[-1]


def moved(place: Path, random: Random, stack: ExitStack) -> Search:
    """SIGKILL, and the results folder is moved before the search goes on."""
    search = struck(place, random, kill=True)
    search.results = shutil.move(search.results, place / "elsewhere")
    resumed(search)
    assert not (place / "results").exists(), "wrote to the old place"
    return search


def processes(mark: str, command: str) -> Iterator[int]:
    """Yield the processes that carry ``mark`` and whose command line holds ``command``."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0")
            if ours and command.encode() in (process / "cmdline").read_bytes():
                yield int(process.name)
        except OSError:
            continue  # it has ended, or is not ours


@dataclass(frozen=True)
class Case:
    """A fault, and what FAULTS.md says of Ray Tune with its MLflow callback."""

    what: str
    inflict: Fault
    stock: str
    seconds: float = SECONDS  # in which the process must end that the fault is to end


CASES = {
    "F1": Case("kill -9 of the driver, 1 to 3 times", killed, "5 of 42 epochs redone, 2 duplicates, 2 orphans"),
    "F2": Case("SIGINT", signalled(signal.SIGINT), "status 0: half a search passes for a whole one", 10),
    "F3": Case("SIGTERM", signalled(signal.SIGTERM), "status 134, no snapshot", 10),
    "F4": Case("two SIGINTs", signalled(signal.SIGINT, signal.SIGINT), "not measured", 5),
    "F7": Case("kill -9 of a worker", worker_killed, "goes on with max_failures, which is 0 unless set"),
    "F8": Case("one of two nodes killed", node_killed, "goes on with max_failures, else fails"),
    "F12": Case("Ray's node on this machine killed", ray_killed, "silent for more than 110 s", 30),
    "F14": Case("disk full, then not", disk_full, "not restorable, 10 of 14 trials lost"),
    "F15": Case("record torn at a random byte", record_torn, "starts over, silently"),
    "F16": Case("checkpoints torn, changed or gone", checkpoint_damaged, "not measured"),
    "F18": Case("tracking server killed, started again", server_away(True), "freezes for 250 s, then ends"),
    "F18 for ever": Case("tracking server killed, back for the resume", server_away(False), "freezes for 250 s, then ends"),
    "F21": Case(f"MLflow's SQLite file locked for {LOCKED_SECONDS} s", store_locked, "not measured"),
    "F22": Case(f"{AT_ONCE} searches at once on a fresh store", at_once, "0 of 8, store broken"),
    "F26": Case("results folder moved", moved, "writes to the old place"),
    "L8": Case(f"kill -9 of the driver, {LONG_KILLS} times in {LONG_TRIALS} trials", soaked, "not measured"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--repetitions", type=int, default=10)
    given = parser.parse_args()
    if unknown := [name for name in given.faults if name not in CASES]:
        parser.error(f"no fault {unknown[0]!r}; there are {', '.join(CASES)}")
    print("| fault | held | trials lost | epochs redone | duplicates | orphans | seconds to end | seconds to recover | stock |")
    print("|---" * 9 + "|")
    results = {name: repeated(name, given.repetitions) for name in given.faults or CASES}
    print(json.dumps(results))
    sys.exit(any(toll["broken"] for tolls in results.values() for toll in tolls))


def repeated(name: str, repetitions: int) -> list[dict]:
    """Inflict a fault so many times, and print its row."""
    case = CASES[name]
    tolls = [once(name, number) for number in range(repetitions)]
    keys = ("lost", "redone", "duplicates", "orphans", "ending", "seconds")
    worst = [max(getattr(toll, key) for toll in tolls) for key in keys]
    held = sum(not toll.broken for toll in tolls)
    cells = [f"{name} {case.what}", f"{held} of {repetitions}", *(f"{value:.0f}" for value in worst), case.stock]
    print(f"| {' | '.join(cells)} |", flush=True)
    return [asdict(toll) for toll in tolls]


def once(name: str, number: int) -> Toll:
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as place, ExitStack() as stack:
        try:
            toll = CASES[name].inflict(Path(place), Random(f"{name} {number}"), stack).toll()
        except AssertionError as problem:
            toll = Toll(0, 0, 0, 0, 0.0, (str(problem).splitlines() or ["failed"])[0])
        if not toll.broken and toll.ending > CASES[name].seconds:
            toll.broken = f"ended after {toll.ending:.0f} s, not {CASES[name].seconds}"
        for process in processes(place, ""):
            os.kill(process, signal.SIGKILL)  # of a search that hangs
    if toll.broken:
        print(f"{name}, repetition {number}: {toll.broken}", file=sys.stderr, flush=True)
    return toll


if __name__ == "__main__":
    main()
