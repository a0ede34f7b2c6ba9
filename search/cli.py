"""The commands: what is typed, what is printed, and the exit status. The work is elsewhere."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search import folder as folders
from search.errors import EnvironmentProblem, SearchError, SpaceError, refused
from search.redact import redacted

if TYPE_CHECKING:
    from search.finish import Outcome

HELP = {
    "check": ("check a space file and all that it names; creates nothing", "python -m search check spaces/aoi.yaml"),
    "init": ("look at images or a label file, and write a space file for them", "python -m search init my_parts -o parts.yaml"),
    "run": ("search, and register the best model", "python -m search run spaces/aoi.yaml --minutes 5"),
    "resume": ("go on with a search that was stopped, or extend one", "python -m search resume aoi --minutes +10"),
    "finish": ("end a stopped search with what it has, and register its best model", "python -m search finish aoi"),
    "replay": ("train a trial again from its record, and compare", "python -m search replay aoi 3"),
    "best": ("show the best model of a search", "python -m search best aoi --json"),
    "status": ("show how a search stands, while it runs or afterwards", "python -m search status aoi"),
    "list": ("list the searches", "python -m search list"),
    "report": ("write what a search found as one HTML page", "python -m search report aoi -o aoi.html"),
    "predict": ("apply the best model to images", "python -m search predict aoi part1.png part2.png -o out.csv"),
    "ui": ("open MLflow's pages on the search", "python -m search ui aoi"),
}
MOVED = "change where the data is or what may be taken, such as data.root=FOLDER; also resources.…, budget.… and tracking.…"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; every foreseen mistake is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):  # whose encoding may lack what a class or a file is called by
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    top = parser()
    given, left = top.parse_known_args(arguments)
    if left:
        mend = "; write --set 'KEY=VALUE', in quotes" if getattr(given, "set", None) else ""
        top.error(f"unrecognized arguments: {' '.join(left)}{mend}")
    try:
        return given.command(given) or 0
    except SearchError as problem:
        tell("error", str(problem))
        return problem.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as problem:  # the boundary to the system: a full disk, a folder taken away
        too_long = problem.errno == errno.ENAMETOOLONG  # a name that was given
        tell("error", f"{refused(problem)}; {'give a shorter one' if too_long else 'mend that and try again'}")
        return SpaceError.exit_status if too_long else EnvironmentProblem.exit_status


def tell(kind: str, message: str) -> None:
    """Print one line on standard error, with passwords left out and control characters written as escapes."""
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in redacted(message))
    with suppress(OSError):  # where the terminal is closed, the status alone tells
        print(f"search: {kind}: {line}", file=sys.stderr, flush=True)


class Parser(argparse.ArgumentParser):
    """Says a mistake in one line, as everything else here does."""

    def error(self, message: str) -> None:
        tell("error", f"{message}; see `{self.prog} --help`")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="python -m search", description="Find the best small vision model for a folder of images.",
                 epilog="example: python -m search run spaces/aoi.yaml")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    check = add(commands, "check", check_command)
    check.add_argument("space", nargs="?", help="space file")
    check.add_argument("--schema", action="store_true", help="print the JSON Schema of space files instead")
    add_set(check)
    init = add(commands, "init", init_command)
    init.add_argument("place", metavar="FOLDER", type=Path, help="folder of images, or a label file")
    init.add_argument("-o", "--output", metavar="FILE", type=Path, help="the space file (default: the folder's name, here)")
    init.add_argument("--task", choices=("classification", "landmarks", "segmentation"),
                      help="what is to be found, where the data would do for several")
    init.add_argument("--skip-unreadable", metavar="SHARE", type=float, default=0.0,
                      help="share of the image files that may be unreadable and are left out (data.skip_unreadable)")
    run = add(commands, "run", run_command)
    run.add_argument("space", help="space file")
    run.add_argument("--name", help="name of the search (default: the space's)")
    run.add_argument("--minutes", metavar="M", help="time budget, start to finish; same as --set budget.minutes=M")
    run.add_argument("--trials", metavar="N", help="most trials; same as --set budget.trials=N")
    run.add_argument("--from", dest="sources", metavar="NAME", action="append", default=[],
                     help="learn from the trials of an earlier search, also one of another space; repeatable")
    add_places(run)
    add_set(run)
    resume = add(commands, "resume", resume_command)
    add_name(resume)
    resume.add_argument("--trials", metavar="+N", type=more(int), help="so many more trials than it was given")
    resume.add_argument("--minutes", metavar="+M", type=more(float), help="so many more minutes than it was given")
    add_force(resume)
    add_places(resume)
    add_set(resume, MOVED)
    finish = add(commands, "finish", finish_command)
    add_name(finish)
    finish.add_argument("--minutes", metavar="M", type=float, help="most minutes that it may take (default: what it takes)")
    add_force(finish)
    add_places(finish)
    add_set(finish, MOVED)
    replay = add(commands, "replay", replay_command)
    replay.add_argument("name", help="name of the search")
    replay.add_argument("trial", type=int, help="number of the trial")
    add_name(add(commands, "best", best_command))
    add_name(add(commands, "status", status_command))
    add(commands, "list", list_command)
    report = add(commands, "report", report_command)
    add_name(report)
    report.add_argument("-o", "--output", metavar="FILE", type=Path, help="the page (default: report.html beside the search)")
    predict = add(commands, "predict", predict_command)
    predict.add_argument("images", nargs="+", metavar="[MODEL] IMAGES",
                         help="images, folders, or a CSV of images; before them a search, models:/NAME@champion, a model's "
                              "folder or its .onnx, else the latest search's model is used")
    predict.add_argument("-o", "--output", metavar="PATH",
                         help="write a CSV instead of printing; in segmentation the folder for the masks")
    predict.add_argument("--image-column", metavar="NAME", default="image", help="column of a CSV's images (default: image)")
    predict.add_argument("--tracking-uri", metavar="URI", help="MLflow store of models:/… (default: that of the results folder)")
    ui = add(commands, "ui", ui_command)
    add_name(ui)
    ui.add_argument("--port", type=port, default=5000, help="port to serve on (default: 5000)")
    ui.add_argument("--optuna", action="store_true", help="open Optuna's dashboard on the search's study instead")
    return top


def add(commands: Any, name: str, command: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
    summary, example = HELP[name]
    new = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=f"example: {example}")
    new.set_defaults(command=command)
    new.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    new.add_argument("--results", metavar="DIR", type=Path, default=Path("results"),
                     help="folder that everything is written under (default: results)")
    return new


def add_set(command: argparse.ArgumentParser, what: str = "override a key of the space file by its dotted path, such as "
            "space.dropout=0.2") -> None:
    command.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help=f"{what}; repeatable")


def add_places(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tracking-uri", metavar="URI", help="MLflow server or store (default: SQLite in the results folder)")
    command.add_argument("--address", metavar="ADDR", help="Ray cluster to join (default: this machine)")


def add_force(command: argparse.ArgumentParser) -> None:
    command.add_argument("--force", action="store_true", help="also with other code or packages than it was stopped with")


def more(kind: type) -> Callable[[str], Any]:
    """Return what reads ``+50``: a number above 0 with its sign."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not text.startswith("+") or not 0 < value <= 1_000_000:
            raise argparse.ArgumentTypeError(f"{text!r:.40} is not how many more; write it like +10")
        return value

    return read


def port(text: str) -> int:
    """Return the number of a port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no port; give a number from 1 to 65535")
    return int(text)


def add_name(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", help="name of the search (default: the latest)")


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def check_command(given: argparse.Namespace) -> None:
    if given.schema:
        from search.schema import json_schema

        return print_json(json_schema())
    if given.space is None:
        raise SystemExit(parser().error("check: give a space file, or --schema"))
    from search import plan, views
    from search.space import load_space

    made = plan.make_plan(load_space(given.space, given.set))
    print_json(plan.as_dict(made)) if given.json else print(views.plan(made))


def init_command(given: argparse.Namespace) -> None:
    from search.init import init

    made = init(given.place, given.output, given.task, given.skip_unreadable)
    if given.json:
        return print_json(made)
    for remark in made["remarks"]:
        tell("note", remark)
    print(f"{made['space']}: {made['task']} of {made['images']} images\nnext      python -m search check {made['space']}\n"
          f"          python -m search run {made['space']}")


def run_command(given: argparse.Namespace) -> int:
    from search.progress import progress_on
    from search.run import run_search
    from search.space import load_space

    budget = [f"budget.{key}={value}" for key in ("minutes", "trials") if (value := getattr(given, key)) is not None]
    space = load_space(given.space, [*given.set, *budget])
    for warning in space.warnings:
        tell("warning", warning)
    with progress_on(2 if given.json else 1) as progress:
        outcome = run_search(space, name=given.name, results=given.results, tracking=given.tracking_uri,
                             address=given.address, progress=progress, sources=given.sources)
    if space.search == "grid" and not given.json:
        print((given.results / outcome.name / "table.md").read_text(encoding="utf-8"))
    return show(outcome, given)


def show(outcome: Outcome, given: argparse.Namespace) -> int:
    """Print what a search found; return the exit status."""
    from search import views

    print_json(asdict(outcome)) if given.json else print(views.best(asdict(outcome), given.results))
    if outcome.exit_status:
        tell("warning", views.failed(outcome.failures, outcome.trials))
    return outcome.exit_status


def resume_command(given: argparse.Namespace) -> int:
    from search.progress import progress_on
    from search.resume import resume_search

    folder = folders.find(given.results, given.name)
    with progress_on(2 if given.json else 1) as progress:
        outcome = resume_search(folder, trials=given.trials, minutes=given.minutes, overrides=given.set,
                                tracking=given.tracking_uri, address=given.address, progress=progress,
                                force=given.force)
    return show(outcome, given)


def finish_command(given: argparse.Namespace) -> int:
    from search.progress import progress_on
    from search.resume import finish_search

    folder = folders.find(given.results, given.name)
    with progress_on(2 if given.json else 1) as progress:
        outcome = finish_search(folder, minutes=given.minutes, overrides=given.set, tracking=given.tracking_uri,
                                address=given.address, progress=progress, force=given.force)
    return show(outcome, given)


def replay_command(given: argparse.Namespace) -> None:
    from search import views
    from search.record import read_record
    from search.replay import as_dict, replay
    from search.resume import changes

    folder = folders.find(given.results, given.name)
    record, epochs = read_record(folder), []
    for line, _ in changes(record):
        tell("note", line)
    for epoch in replay(record, given.trial, given.results / "cache"):
        epochs.append(epoch)
        if not given.json:
            print(views.replayed(epoch), flush=True)
    found = as_dict(given.trial, epochs, record.trials.get(given.trial).epoch)
    print_json(found) if given.json else print(views.replay(found))


def best_command(given: argparse.Namespace) -> None:
    from search import views

    summary = folders.read_summary(folders.find(given.results, given.name))
    print_json(summary) if given.json else print(views.best(summary, given.results))


def status_command(given: argparse.Namespace) -> None:
    from search import views
    from search.status import status

    found = status(folders.find(given.results, given.name))
    print_json(asdict(found)) if given.json else print(views.status(found))


def list_command(given: argparse.Namespace) -> None:
    from search import views

    summaries = [folders.read_summary(folder) for folder in folders.searches(given.results)]
    print_json(summaries) if given.json else print(views.searches(summaries, given.results))


def report_command(given: argparse.Namespace) -> None:
    from search.report import write_report

    path = write_report(folders.find(given.results, given.name), given.output)
    print_json({"report": str(path)}) if given.json else print(path)


def predict_command(given: argparse.Namespace) -> None:
    from search.predict import predict

    predict(given.results, given.images, given.output, json_wanted=given.json, tracking=given.tracking_uri,
            image_column=given.image_column)


def ui_command(given: argparse.Namespace) -> int:
    from search.ui import serve, serve_dashboard

    return (serve_dashboard if given.optuna else serve)(given.results, given.name, given.port, as_json=given.json)
