"""The schema of a trial: every parameter, its type, its range and its default. Standard library only.

The same table serves the checks of a space file, the JSON Schema for editors and the training loop.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import os
import re
import typing
from dataclasses import dataclass
from typing import Any

from trainables import own
from trainables.errors import BadInput
from trainables.models import MODELS, OPTIONS

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad")
MOMENTUM = ("sgd", "rmsprop")  # the optimizers that have it
LR_SCHEDULES = ("none", "cosine", "plateau")
PRECISIONS = ("auto", "fp32", "bf16")
CLASS_WEIGHTS = ("none", "balanced")
PATCH_SIZES = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Setting:
    """What one key accepts: a type, bounds (``low``/``high`` inclusive, ``above``/``below`` exclusive) and choices.

    Beside its choices it takes text that matches ``pattern``, which ``form`` shows to people, and beside its numbers
    the ``words``. Of a list, too, the ``form`` is shown.
    """

    type: type
    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] | None = None
    pattern: str | None = None
    words: tuple[str, ...] = ()
    form: str | None = None
    optional: bool = False
    searchable: bool = True

    def complaint(self, value: Any) -> str | None:
        """Return what is wrong with ``value`` and the mend, or None where it is fine."""
        if value is None:
            return None if self.optional else f"needs a value; {self.expects()}"
        if isinstance(value, str) and value in self.words:
            return None
        if not is_a(value, self.type):
            return f"{value!r:.80} is not {ARTICLES[self.type]}; {self.expects()}"
        if self.choices and value not in self.choices and not (self.pattern and re.fullmatch(self.pattern, value)):
            return f"unknown value {value!r:.80}; {did_you_mean(value, self.choices)}{self.beside()}"
        if self.type in (int, float) and not self.contains(value):
            return f"{value!r} is out of range; {self.expects()}"
        return None

    def contains(self, value: float) -> bool:
        return math.isfinite(value) and (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def beside(self) -> str:
        """Say what the key accepts beside its choices."""
        return f", or {self.form}" if self.form else ""

    def expects(self) -> str:
        """Say in words what the key accepts, as the mend of a complaint."""
        if self.choices:
            return f"give one of {', '.join(map(str, self.choices))}{self.beside()}"
        if self.type is tuple:
            return f"give {self.form}"
        signs = ((">=", self.low), ("<=", self.high), (">", self.above), ("<", self.below))
        bounds = " and ".join(f"{sign} {bound:g}" for sign, bound in signs if bound is not None)
        return " or ".join((f"give {ARTICLES[self.type]}" + (f" {bounds}" if bounds else ""), *self.words))


ARTICLES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", tuple: "a list"}


def is_a(value: Any, kind: type) -> bool:
    """Tell whether a YAML value is of ``kind``: a whole number is also a number, a truth value is neither."""
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, (list, tuple) if kind is tuple else kind)


def did_you_mean(value: Any, known: typing.Iterable[str]) -> str:
    """Return the mend for an unknown name: the nearest known one first, then all of them."""
    known = [str(name) for name in known]
    near = difflib.get_close_matches(str(value), known, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + "known: " + ", ".join(known)


def setting(default: Any, help: str, **rules: Any) -> Any:
    """Declare a dataclass field whose metadata holds its `Setting`; the type comes from the annotation."""
    return dataclasses.field(default=default, metadata={"help": help, **rules})


@functools.cache
def settings(cls: type) -> dict[str, Setting]:
    """Return the `Setting` of every field that `setting` declared on the dataclass ``cls``."""
    hints = typing.get_type_hints(cls)
    table = {}
    for field in dataclasses.fields(cls):
        if not field.metadata:
            continue
        kinds = [kind for kind in (typing.get_args(hints[field.name]) or (hints[field.name],)) if kind is not type(None)]
        optional = type(None) in typing.get_args(hints[field.name])
        table[field.name] = Setting(type=kinds[0], optional=optional, **field.metadata)
    return table


@dataclass(frozen=True)
class TrialConfig:
    """Everything that one trial is given. Frozen; raises `BadInput` for a value that no trial can run with."""

    architecture: str = setting(
        "conv3_fc2", "network to train", choices=tuple(MODELS), pattern=own.PATTERN, form=f"{own.FORM} of your own"
    )
    patch_size: int = setting(8, "pixels a side that become one token of vit_tiny", choices=PATCH_SIZES)
    depth: int = setting(6, "blocks of vit_tiny", low=1, high=48)
    pretrained: bool = setting(False, "whether training starts from published weights, or those in the file `weights`")
    weights: str | None = setting(None, "file with the weights (a state_dict) that pretrained networks start from")
    optimizer: str = setting("adam", "rule that updates the weights", choices=OPTIMIZERS)
    learning_rate: float = setting(1e-3, "step size of the optimizer", above=0, high=100)
    batch_size: int = setting(128, "images a step", low=1, high=65536)
    dropout: float = setting(0.0, "share of activations dropped before the last layers", low=0, below=1)
    split_ratio: float = setting(1.0, "share of the training pool that this trial trains on", above=0, high=1)
    weight_decay: float = setting(0.0, "L2 penalty (decoupled under adamw)", low=0, high=10)
    momentum: float = setting(0.9, "momentum of sgd and rmsprop; the others ignore it", low=0, below=1)
    lr_schedule: str = setting("none", "how the learning rate changes over epochs", choices=LR_SCHEDULES)
    image_size: int = setting(64, "side in pixels to which images are resized", low=8, high=1024)
    epochs: int = setting(10, "passes over the training rows", low=1, high=100_000)
    seed: int = setting(0, "seed of weights, order and augmentation", low=0, high=2**31 - 1)
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", low=0, below=1)
    class_weights: str = setting("none", "weights of the classes in the training loss", choices=CLASS_WEIGHTS)
    horizontal_flip: float = setting(0.0, "probability of a left-right flip", low=0, high=1)
    vertical_flip: float = setting(0.0, "probability of an upside-down flip", low=0, high=1)
    rotation: float = setting(0.0, "largest rotation either way, in degrees", low=0, high=180)
    shift: float = setting(0.0, "largest shift either way, as a share of the side", low=0, high=1)
    scale: float = setting(0.0, "largest change of size either way: 0.2 is 0.8 to 1.2", low=0, below=1)
    shear: float = setting(0.0, "largest shear either way, in degrees", low=0, below=90)
    erasing: float = setting(0.0, "probability that a rectangle is erased", low=0, high=1)
    brightness: float = setting(0.0, "largest change of brightness: 0.2 is 0.8 to 1.2", low=0, high=1)
    contrast: float = setting(0.0, "largest change of contrast: 0.2 is 0.8 to 1.2", low=0, high=1)
    saturation: float = setting(0.0, "largest change of saturation: 0.2 is 0.8 to 1.2", low=0, high=1)
    hue: float = setting(0.0, "largest turn of the colour circle: 0.1 is -0.1 to 0.1 turns", low=0, high=0.5)
    precision: str = setting("auto", "number format of the arithmetic", choices=PRECISIONS, searchable=False)

    def __post_init__(self) -> None:
        for name, rule in settings(type(self)).items():
            if complaint := rule.complaint(getattr(self, name)):
                raise BadInput(f"{name}: {complaint}", key=f"space.{name}")
        if self.weights is not None:  # a worker runs in another folder than the one that the path was written for
            object.__setattr__(self, "weights", os.path.abspath(self.weights))

    def options(self) -> dict[str, Any]:
        """Return the settings that only some networks take."""
        return {name: getattr(self, name) for name in OPTIONS}
