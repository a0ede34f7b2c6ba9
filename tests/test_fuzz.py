"""Whatever stands in a file, the answer is success or one line: no traceback, no hang. The draws are the same each time."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from search import views
from search.errors import SpaceError
from search.folder import read_summary
from search.parameters import FORMS
from search.record import FILE
from search.sections import SECTIONS
from search.space import load_space
from search.status import status
from tests.data_files import csv_lines, make_csv, noise
from tests.test_bad_inputs import trained
from tests.test_fit import make_config, make_data
from tests.test_folder import COMPLETE, INTERRUPTED
from tests.test_status import write_record
from trainables.card import CARD, WEIGHTS
from trainables.checkpoint import newest_checkpoint, read_checkpoint, write_checkpoint
from trainables.config import settings as rules_of
from trainables.data import load_image, load_rows, scan
from trainables.errors import BadInput
from trainables.export import read_model, task_of
from trainables.fit import fit
from trainables.models.pretrained import read_weights

SPACES = Path(__file__).parents[1] / "spaces"
TIMES = int(os.environ.get("FUZZ_TIMES", 5))
FORMATS = {"PNG": "L", "JPEG": "RGB", "BMP": "P", "TIFF": "CMYK", "GIF": "P", "WEBP": "RGB", "PPM": "L"}


def fuzz(strategy: st.SearchStrategy[Any], examples: int, check: Callable[[Any], None]) -> None:
    """Give ``check`` so many values of ``strategy``, none of which may hang."""
    settings(
        max_examples=examples, deadline=timedelta(seconds=60), derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )(given(strategy)(check))()  # fmt: skip


def rounds(few: int) -> pytest.MarkDecorator:
    """Run a test with a few examples, and where there is time with `TIMES` as many."""
    return pytest.mark.parametrize("examples", [few, pytest.param(TIMES * few, marks=pytest.mark.slow)], ids=["few", "many"])


@st.composite
def damaged(draw: st.DrawFn, wholes: list[bytes]) -> bytes:
    """Draw one of some files with pieces changed, lost, doubled, or brought from another place."""
    content = draw(st.sampled_from(wholes))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + draw(st.sampled_from([1, 4, 40, 4000])))))
        piece = draw(st.one_of(st.binary(max_size=8), st.just(content[start:end] * 2), st.just(content[end : end + 20])))
        content = content[:start] + piece + content[end:]
    return content


def refused_in_a_line(call: Callable[[], object], *problems: type[Exception]) -> None:
    """Call, and see that one of ``problems`` is the only way in which it can fail, in one line."""
    try:
        call()
    except problems as problem:
        assert len(str(problem).splitlines()) == 1


NAMES = sorted({"name", *SECTIONS, *FORMS, "step", *(name for cls in SECTIONS.values() for name in rules_of(cls))})
WORDS = ["adam", "simple_cnn", "vit_tiny", "folder", "auto", "max", "accuracy", "a/b", "x:y", ""]
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=5))
NESTED = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw a space file whose keys are right, most of them in their places, and whose values are anything."""
    form = st.one_of(NESTED, st.dictionaries(st.sampled_from(sorted(FORMS)), st.lists(VALUES, max_size=3), max_size=1))
    sections = {name: st.dictionaries(st.sampled_from(sorted(rules_of(cls))), form, max_size=4) for name, cls in SECTIONS.items()}
    written = {name: draw(sections[name] | NESTED) for name in draw(st.sets(st.sampled_from(sorted(sections))))}
    return yaml.safe_dump(written, allow_unicode=True).encode("utf-8", "surrogatepass")


class TestSpaceFiles:
    @rounds(150)
    def test_damaged(self, examples, tmp_path):
        wholes = [path.read_bytes() for path in SPACES.glob("*.yaml")]

        def check(content: bytes) -> None:
            (tmp_path / "s.yaml").write_bytes(content)
            refused_in_a_line(lambda: load_space(tmp_path / "s.yaml"), SpaceError)

        fuzz(damaged(wholes), examples, check)

    @rounds(60)
    def test_made_up(self, examples, tmp_path):
        def check(content: bytes) -> None:
            (tmp_path / "s.yaml").write_bytes(content)
            refused_in_a_line(lambda: load_space(tmp_path / "s.yaml"), SpaceError)

        fuzz(documents(), examples, check)

    @rounds(200)
    def test_overrides(self, examples):
        texts = st.sampled_from(NAMES).flatmap(lambda name: st.text(max_size=20).map(lambda text: f"space.{name}={text}"))
        fuzz(texts | st.text(max_size=30), examples,
             lambda text: refused_in_a_line(lambda: load_space(SPACES / "aoi.yaml", [text]), SpaceError))


class TestData:
    @rounds(100)
    def test_label_files(self, examples, tmp_path):
        config = make_csv(tmp_path / "data")
        wholes = ["\n".join(csv_lines(delimiter)).encode() for delimiter in ",;\t"]

        def check(content: bytes) -> None:
            (tmp_path / "data" / "labels.csv").write_bytes(content)
            refused_in_a_line(lambda: scan(config), BadInput)

        fuzz(damaged(wholes), examples, check)

    @rounds(300)
    def test_images(self, examples, tmp_path):
        wholes = []
        for kind, mode in FORMATS.items():
            Image.fromarray(noise(0, (24, 17, 3))).convert(mode).save(stream := io.BytesIO(), kind)
            wholes.append(stream.getvalue())

        def check(content: bytes) -> None:
            (tmp_path / "a.png").write_bytes(content)
            refused_in_a_line(lambda: load_image(tmp_path / "a.png", 16, 3), BadInput)

        fuzz(damaged(wholes), examples, check)

    @rounds(60)
    def test_images_of_a_folder(self, examples, tmp_path):
        """What the first look at a file lets pass, the decoder takes."""
        config = make_csv(tmp_path / "data")
        whole = (tmp_path / "data" / "images" / "0.png").read_bytes()

        def check(content: bytes) -> None:
            (tmp_path / "data" / "images" / "0.png").write_bytes(content)
            try:
                catalog = scan(config)
            except BadInput as problem:
                assert len(str(problem).splitlines()) == 1
                return
            load_rows(catalog, [0], 16, 3)

        fuzz(damaged([whole]), examples, check)


class TestModels:
    @pytest.fixture
    def model(self, images, tmp_path) -> Path:
        return shutil.copytree(trained(images) / "model", tmp_path / "model")

    @rounds(150)
    def test_cards(self, examples, model):
        whole = (model / CARD).read_bytes()

        def check(content: bytes) -> None:
            (model / CARD).write_bytes(content)
            refused_in_a_line(lambda: read_model(model), BadInput)

        fuzz(damaged([whole]), examples, check)

    @rounds(100)
    def test_made_up_cards(self, examples, model):
        whole = json.loads((model / CARD).read_text())
        fields = st.dictionaries(st.sampled_from(sorted(whole)), NESTED, max_size=2)
        inner = {part: st.dictionaries(st.sampled_from(sorted(whole[part])), NESTED, max_size=2) for part in ("config", "target")}

        def check(drawn: tuple[dict[str, Any], dict[str, Any]]) -> None:
            parts = {part: {**whole[part], **changed} for part, changed in drawn[1].items()}
            (model / CARD).write_text(json.dumps({**whole, **parts, **drawn[0]}))
            refused_in_a_line(lambda: task_of(read_model(model)[1]), BadInput)

        fuzz(st.tuples(fields, st.fixed_dictionaries(inner)), examples, check)

    @rounds(100)
    def test_weights_of_the_right_sha256(self, examples, model):
        card, whole = json.loads((model / CARD).read_text()), (model / WEIGHTS).read_bytes()
        header = 8 + int.from_bytes(whole[:8], "little")

        def check(content: bytes) -> None:
            content += whole[header:]
            (model / WEIGHTS).write_bytes(content)
            (model / CARD).write_text(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))
            refused_in_a_line(lambda: read_model(model), BadInput)

        fuzz(damaged([whole[:header]]), examples, check)

    @rounds(150)
    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_checkpoints(self, examples, tmp_path):
        weights, wholes = {"a": torch.ones(3), "b": torch.zeros(2, 2)}, []
        for archive in (True, False):
            torch.save(weights, stream := io.BytesIO(), _use_new_zipfile_serialization=archive)
            wholes.append(stream.getvalue())

        def check(content: bytes) -> None:
            (tmp_path / "weights.pth").write_bytes(content)
            refused_in_a_line(lambda: read_weights(tmp_path / "weights.pth"), BadInput)

        fuzz(damaged(wholes), examples, check)

    @rounds(100)
    def test_summaries(self, examples, tmp_path):
        """Whole ones with pieces changed, and with fields, or what is in one, that are anything."""
        wholes = [INTERRUPTED, json.loads(json.dumps(dataclasses.asdict(COMPLETE)))]

        def show() -> None:
            summary = read_summary(tmp_path)
            views.best(summary, tmp_path)
            views.searches([summary], tmp_path)

        def check(content: bytes) -> None:
            (tmp_path / "search.json").write_bytes(content)
            refused_in_a_line(show, SpaceError)

        @st.composite
        def made_up(draw: st.DrawFn) -> bytes:
            summary = json.loads(json.dumps(draw(st.sampled_from(wholes))))
            place, key = summary, draw(st.sampled_from(sorted(summary)))
            while isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
                place = place[key]
                key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            place[key] = draw(NESTED)
            return json.dumps(summary).encode()

        for whole in wholes:
            check(json.dumps(whole).encode())
            assert read_summary(tmp_path).items() >= {"state": whole["state"], "trials": whole["trials"]}.items()
        fuzz(damaged([json.dumps(whole).encode() for whole in wholes]) | made_up(), examples, check)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    for epoch in fit(make_config(epochs=3), make_data()):
        write_checkpoint(folder, epoch.checkpoint())
    return folder


class TestSearches:
    """What a search reads of its own when it goes on: the record, and the checkpoints of trials that ran."""

    @pytest.fixture
    def last(self, checkpoint, tmp_path) -> Path:
        """A folder of the checkpoints after epochs 2 and 3; a test damages the last."""
        return shutil.copytree(checkpoint, tmp_path / "0000")

    def check(self, folder: Path) -> None:
        """See that the last checkpoint is read or refused in a line, and that the one before it takes its place."""
        refused_in_a_line(lambda: read_checkpoint(folder, 3), BadInput)
        assert newest_checkpoint(folder, make_config(epochs=3), make_data().key).epoch in (2, 3)

    @rounds(100)
    def test_checkpoint_cards(self, examples, last):
        whole = (last / "3.json").read_bytes()

        def check(content: bytes) -> None:
            (last / "3.json").write_bytes(content)
            self.check(last)

        fuzz(damaged([whole]), examples, check)

    @rounds(100)
    def test_made_up_checkpoint_cards(self, examples, last):
        whole = json.loads((last / "3.json").read_bytes())
        fields = st.dictionaries(st.sampled_from(sorted(whole)), NESTED, max_size=2)
        config = st.dictionaries(st.sampled_from(sorted(whole["config"])), NESTED, max_size=2)

        def check(drawn: tuple[dict[str, Any], dict[str, Any]]) -> None:
            (last / "3.json").write_text(json.dumps({**whole, "config": {**whole["config"], **drawn[1]}, **drawn[0]}))
            self.check(last)

        fuzz(st.tuples(fields, config), examples, check)

    @rounds(100)
    def test_checkpoint_tensors_of_the_right_sha256(self, examples, last):
        card, whole = json.loads((last / "3.json").read_bytes()), (last / "3.safetensors").read_bytes()
        header = 8 + int.from_bytes(whole[:8], "little")

        def check(content: bytes) -> None:
            content += whole[header:]
            (last / "3.safetensors").write_bytes(content)
            (last / "3.json").write_text(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))
            self.check(last)

        fuzz(damaged([whole[:header]]), examples, check)

    @pytest.fixture
    def record(self, tmp_path, space_file) -> Path:
        return write_record(tmp_path / "tiny", space_file)

    @rounds(150)
    def test_records(self, examples, record):
        whole = (record / FILE).read_bytes()

        def check(content: bytes) -> None:
            (record / FILE).write_bytes(content)
            refused_in_a_line(lambda: views.status(status(record)), SpaceError)

        fuzz(damaged([whole]), examples, check)

    @rounds(150)
    def test_made_up_records(self, examples, record):
        """One field of an event is anything, or one of what is in a field."""
        events = [json.loads(line) for line in (record / FILE).read_bytes().splitlines()]

        def check(drawn: tuple[int, Any, Any, Any]) -> None:
            number, pick, inner, value = drawn
            event = json.loads(json.dumps(events[number]))
            name = sorted(event)[pick % len(event)]
            if isinstance(event[name], dict) and event[name] and inner is not None:
                event[name][sorted(event[name])[inner % len(event[name])]] = value
            else:
                event[name] = value
            lines = [*events[:number], event, *events[number + 1 :]]
            (record / FILE).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
            refused_in_a_line(lambda: views.status(status(record)), SpaceError)

        numbers = st.integers(0, 99)
        fuzz(st.tuples(st.integers(0, len(events) - 1), numbers, st.none() | numbers, NESTED), examples, check)
