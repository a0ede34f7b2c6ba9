"""The data section: every wrong value is refused by name."""

from __future__ import annotations

import dataclasses

import pytest

from trainables.config import settings
from trainables.data import DataConfig
from trainables.data.config import NEEDS, OWN, SOURCES, USES
from trainables.data.sources import READERS
from trainables.errors import BadInput

WRONG = {
    "unknown source": ({"source": "foldr"}, "data.source", "did you mean 'folder'?"),
    "source needs a root": ({"source": "folder"}, "data.root", "source folder needs it"),
    "source needs labels": ({"source": "csv", "root": "x"}, "data.labels", "name of the label file"),
    "key of another source": ({"source": "elpv", "size": 64}, "data.size", "source elpv does not use it; remove it"),
    "test of a source that seals": ({"source": "cifar10", "root": "x", "test": 0.3}, "data.test", "does not use it"),
    "two sealed tests": (
        {"source": "folder", "root": "x", "test_root": "y", "test": 0.3},
        "data.test",
        "test_root already",
    ),
    "two channels": ({"channels": 2}, "data.channels", "give 1 or 3"),
    "four channels": ({"channels": 4}, "data.channels", "out of range"),
    "share of zero": ({"val": 0.0}, "data.val", "0.0 is out of range; give a number > 0 and < 1"),
    "nothing to train on": ({"test": 0.6, "val": 0.4}, "data.val", "test 0.6 and val 0.4 leave nothing to train on"),
    "threshold of zero": ({"source": "elpv", "threshold": 0}, "data.threshold", "out of range"),
    "size as text": ({"size": "128"}, "data.size", "'128' is not a whole number"),
    "class of control characters": (
        {"task": "segmentation", "source": "csv", "root": "x", "labels": "y", "classes": ["a", "b\x07"]},
        "data.classes", "('a', 'b\\x07') are not names",
    ),
    "negative seed": ({"seed": -1}, "data.seed", "out of range"),
}


@pytest.mark.parametrize("values, key, text", WRONG.values(), ids=WRONG)
def test_wrong_values_are_refused(values, key, text):
    with pytest.raises(BadInput) as caught:
        DataConfig(**values)
    assert caught.value.key == key
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_source_is_named_once_and_the_same_everywhere():
    assert {*SOURCES, OWN} == set(USES["classification"])
    assert {task: set(uses) for task, uses in USES.items()} == {task: set(readers) for task, readers in READERS.items()}
    keys = {field.name for field in dataclasses.fields(DataConfig)}
    for task, uses in USES.items():
        assert all(names <= keys for names in uses.values())
        assert all(set(names) <= uses[source] for source, names in NEEDS[task].items())


def test_no_key_of_the_data_can_be_searched():
    assert not any(rule.searchable for rule in settings(DataConfig).values())
