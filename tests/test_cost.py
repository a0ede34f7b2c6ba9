"""Parameters and MACs, to the digit, from the memo and from the shapes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainables.cost import CHANNELS, SIZES, Cost, affine, cost, count, memo, smallest_size, trains
from trainables.errors import BadInput
from trainables.models import MODELS

# Published with the networks, and counted again by hand or by torch.utils.flop_counter.
COUNTS = [
    ("alexnet_small", 1, 6, 256, 13_102_598, 155_060_800),
    ("conv3_fc2", 1, 10, 28, 390_634, 7_748_608),
    ("conv3_fc2", 3, 10, 32, 620_586, 10_848_768),
    ("simple_cnn", 3, 2, 48, 1_015_450, 24_146_320),
    ("mobilenet_v3_small", 3, 42, 224, 1_560_906, 55_529_408),
    ("shufflenet_v2_x0_5", 3, 1000, 256, 1_366_792, 52_553_728),
    ("resnet18", 3, 1000, 256, 11_689_512, 2_369_245_184),
]
IDS = [f"{name}-{channels}x{size}" for name, channels, _, size, *_ in COUNTS]


@pytest.mark.parametrize("name, channels, outputs, size, params, macs", COUNTS, ids=IDS)
def test_published_counts(name, channels, outputs, size, params, macs):
    assert cost(name, channels, outputs, size) == Cost(params, macs)
    assert count(name, channels, outputs, size) == Cost(params, macs)


def test_alexnet_small_by_hand():
    convolutions = 85**2 * 64 * 49 + 21**2 * 128 * 64 * 25 + 10**2 * 256 * 128 * 9
    linears = 4096 * 2048 + 2048 * 2048 + 2048 * 6
    assert cost("alexnet_small", 1, 6, 256).macs == convolutions + linears


@pytest.mark.parametrize("name", MODELS)
def test_memo_is_what_the_shapes_say(name):
    known = memo()[name]
    assert known["smallest"] == smallest_size(name)
    for channels, size in ((1, 96), (3, 128)):
        assert known[str(channels)][str(size)] == affine(name, channels, size)


def test_memo_knows_every_network_and_common_size():
    assert set(memo()) == set(MODELS)
    for known in memo().values():
        for channels in CHANNELS:
            assert list(known[str(channels)]) == [str(size) for size in SIZES if size >= known["smallest"]]


def test_uncommon_size_and_channels_are_counted():
    assert cost("simple_cnn", 2, 5, 50) == count("simple_cnn", 2, 5, 50)


@pytest.mark.parametrize("name, size, smallest", [("alexnet_small", 64, 81), ("alexnet_small", 80, 81)])
def test_too_small_names_the_smallest(name, size, smallest):
    with pytest.raises(BadInput) as caught:
        cost(name, 1, 6, size)
    assert str(caught.value) == f"{size} is too small for {name}; give {smallest} or more"
    assert caught.value.key == "space.image_size"
    assert not trains(name, 1, size, batch=2)


def test_one_image_has_no_statistics_in_a_map_of_one_pixel():
    assert not trains("mobilenet_v3_small", 3, 32, batch=1)
    assert trains("mobilenet_v3_small", 3, 32, batch=2)
    assert trains("simple_cnn", 3, 32, batch=1)


def test_memo_is_read_without_torch():
    code = "import sys, trainables.cost as c; c.cost('resnet18', 3, 10, 64); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
