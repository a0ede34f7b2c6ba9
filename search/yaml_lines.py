"""YAML in which every key knows its line: plain values, and beside them where each one stands.

It reads the plain part of YAML 1.2 (text, numbers, true, false, null, lists, mappings), which makes ``1e-3`` a number
and ``no`` a word, and refuses the rest (tags, aliases, several documents), so that nothing in a file can run or grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trainables.errors import BadInput

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
SECTION_DEPTH = 2
MAX_NAME = 100
MAX_DIGITS = 15
STREAMS = ("dev", "proc")  # where the shell's `<(…)` and standard input stand, which are read to their end
NULL = re.compile(r"~|null|Null|NULL|")
TRUTH = re.compile(r"true|True|TRUE|false|False|FALSE")
WHOLE = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Document:
    """A parsed file: nested plain values, and the place (``file:line``) of every dotted key; `override` edits it.

    An item of a list that stands for a section has its number for a key: ``objective.2.metric``.
    """

    source: str
    values: dict[str, Any]
    text: str = ""
    places: dict[str, str] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """Return the place of ``key``, or of the nearest key above it that was written."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, self.source)


def read_document(path: Path) -> Document:
    """Read the mapping in the YAML file ``path``.

    Raises:
        BadInput: with file and line, for the first thing wrong.
    """
    source = str(path)
    text = read_text(path)
    values, lines = parse(text, source)
    if values is None:
        raise BadInput("the file is empty; start from one of the files in spaces/", file=source)
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else f"the value {values!r:.60}"
        raise BadInput(f"{kind} at the top; write sections such as `space:` and `budget:`", file=source, line=lines[""])
    return Document(source, values, text, {key: f"{source}:{line}" for key, line in lines.items() if key})


def override(document: Document, assignment: str) -> None:
    """Set one key of ``document`` as ``--set KEY=VALUE`` asks; the value is YAML."""
    source = f"--set {assignment if assignment.isprintable() else repr(assignment):.100}"
    key, equals, text = assignment.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names) or not key.isprintable():
        raise BadInput("no KEY=VALUE; write it like space.learning_rate=0.01", file=source)
    try:
        value, lines = parse(text, source)
    except BadInput as problem:
        raise BadInput(problem.message, file=source) from None
    section, depth = document.values, 0
    while depth < len(names) - 1 and isinstance(section.get(names[depth]), dict):
        section, depth = section[names[depth]], depth + 1
    for name in reversed(names[depth + 1 :]):
        value = {name: value}
    section[names[depth]] = value
    changed = ".".join(names[: depth + 1])
    for old in [old for old in document.places if old.startswith(changed + ".")]:
        del document.places[old]
    whole = ".".join(names)
    made = [".".join(names[:end]) for end in range(depth + 1, len(names))]
    document.places.update(dict.fromkeys([*made, *(f"{whole}.{inner}" if inner else whole for inner in lines)], source))


def read_text(path: Path) -> str:
    """Return the text of ``path``, or raise `BadInput` that says why it is none."""
    if path.is_dir():
        raise BadInput("is a folder; name a YAML file in it", file=str(path))
    if path.is_fifo() and path.absolute().parts[1] not in STREAMS:
        raise BadInput("is a FIFO, not a file; name a YAML file", file=str(path))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise BadInput(f"no such file in {Path.cwd()}; check the path", file=str(path)) from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise BadInput(f"cannot be read ({reason}); check its path and permissions", file=str(path)) from None
    if len(content) > MAX_BYTES:
        raise BadInput(f"is larger than {MAX_BYTES:,} bytes; is it a space file?", file=str(path))
    if b"\0" in content:
        raise BadInput("is a binary file, not YAML text; name a space file", file=str(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        wrong = f"byte 0x{content[problem.start]:02x} is not UTF-8; save the file as UTF-8"
        raise BadInput(wrong, file=str(path), line=line) from None


def parse(text: str, source: str) -> tuple[Any, dict[str, int]]:
    """Return the plain value of the one YAML document in ``text``, and the 1-based line of every dotted key.

    Raises:
        BadInput: for text that is not the plain YAML described above; ``source`` names it.
    """
    if strange := UNPRINTABLE.search(text):
        line = text.count("\n", 0, strange.start()) + 1
        raise BadInput(f"control character {strange[0]!r}; remove it", file=source, line=line)
    try:
        return Reader(text, source).document()
    except yaml.MarkedYAMLError as problem:
        raise not_yaml(problem, text, source) from None


def not_yaml(problem: yaml.MarkedYAMLError, text: str, source: str) -> BadInput:
    """Turn the parser's complaint into one line; a tab in the indentation is the usual cause, so look for it first."""
    mark = problem.problem_mark or problem.context_mark
    lines = text.splitlines()
    for number, line in enumerate(lines[: mark.line + 1], start=1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent:
            column = indent.index("\t") + 1
            return BadInput(f"a tab at column {column}; indent with spaces", file=source, line=number)
    what = f"not YAML at column {mark.column + 1} ({problem.problem}); check the quotes, brackets and indent there"
    return BadInput(what, file=source, line=mark.line + 1)


class Reader:
    """Builds values from the parser's events, which still show tags, aliases and repeated keys."""

    def __init__(self, text: str, source: str):
        self.events: Iterator[Any] = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.source = source
        self.lines: dict[str, int] = {}

    def document(self) -> tuple[Any, dict[str, int]]:
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None, {"": 1}
        event = next(self.events)
        self.lines[""] = event.start_mark.line + 1
        value = self.value(event, "", 1)
        next(self.events)
        if not isinstance(event := next(self.events), yaml.StreamEndEvent):
            raise self.refuse(event, "a second document starts here; keep one to a file")
        return value, self.lines

    def value(self, event: Any, key: str, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise self.refuse(event, f"alias *{event.anchor}; write the value out")
        if event.tag is not None:
            raise self.refuse(event, f"tag {event.tag!r:.60}; remove it")
        if depth > MAX_DEPTH:
            raise self.refuse(event, f"nested deeper than {MAX_DEPTH} levels; flatten it")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event) if event.implicit[0] else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            items = enumerate(self.until(yaml.SequenceEndEvent), 1)
            return [self.value(item, self.numbered(key, place, item, depth), depth + 1) for place, item in items]
        return self.mapping(key, depth)

    def numbered(self, key: str, place: int, event: Any, depth: int) -> str:
        """Return the key of an item: in a list that is a section, such as of objectives, each has one of its own."""
        if depth != SECTION_DEPTH:
            return key
        path = f"{key}.{place}"
        self.lines[path] = event.start_mark.line + 1
        return path

    def mapping(self, key: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for event in self.until(yaml.MappingEndEvent):
            name = self.name(event, key, depth)
            path = f"{key}.{name}" if key else name
            if name in values:
                raise self.refuse(event, f"duplicate key {name!r}, also on line {self.lines[path]}; remove one", path)
            self.lines[path] = event.start_mark.line + 1
            values[name] = self.value(next(self.events), path, depth + 1)
        return values

    def name(self, event: Any, key: str, depth: int) -> str:
        """Return a key of a mapping as text; it is later printed, so it must fit on one line."""
        plain = isinstance(event, yaml.ScalarEvent) and event.tag is None
        name = event.value if plain else self.value(event, key, depth + 1)
        if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable():
            raise self.refuse(event, f"{name!r:.60} is no name for a key; use a plain word")
        return name

    def until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self.events), end):
            yield event

    def scalar(self, event: Any) -> Any:
        """Read an unquoted scalar by the rules of YAML 1.2's core schema."""
        text = event.value
        if NULL.fullmatch(text):
            return None
        if TRUTH.fullmatch(text):
            return text.lower() == "true"
        if WHOLE.fullmatch(text):
            if len(text) > MAX_DIGITS:
                raise self.refuse(event, f"the number {text:.30} has more than {MAX_DIGITS} digits; shorten it")
            return int(text)
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) if NUMBER.fullmatch(text) else text

    def refuse(self, event: Any, what: str, key: str | None = None) -> BadInput:
        return BadInput(what, key=key, file=self.source, line=event.start_mark.line + 1)
