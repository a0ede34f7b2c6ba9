"""Parameters, multiply-accumulates and memory, from the memo and from the shapes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from trainables.cost import CHANNELS, MEMO, SIZES, affine, cost, count, memo, options_taken, size_rules, trains
from trainables.errors import BadInput
from trainables.models import MAPS, MODELS, OPTIONS, build

# Published with the networks, and counted again by hand or by torch.utils.flop_counter: parameters, multiply-accumulates
# of convolutions and matrix products, and the count of the thop package, which tables print in M or G.
COUNTS = [
    ("alexnet_small", 1, 6, 256, 13_102_598, 155_060_800, 155_068_992),
    ("mobilenet_v3_small", 3, 42, 224, 1_560_906, 55_529_408, 61_496_952),
    ("resnet18", 3, 1000, 256, 11_689_512, 2_369_245_184, 2_382_254_592),
    ("resnet50", 3, 1000, 256, 25_557_032, 5_340_348_416, 5_398_546_432),
    ("shufflenet_v2_x0_5", 3, 1000, 256, 1_366_792, 52_553_728, 57_903_104),
    ("efficientnet_b0", 3, 1000, 256, 5_288_548, 503_337_472, 541_643_264),
    ("mobilenet_v2", 3, 1000, 256, 3_504_872, 392_456_192, 427_345_920),
    ("vgg16", 3, 1000, 256, 138_357_544, 20_168_212_480, 20_168_262_656),
    ("vgg19", 3, 1000, 256, 143_667_240, 25_604_030_464, 25_604_080_640),
    ("densenet121", 3, 1000, 256, 7_978_856, 3_701_448_704, 3_783_532_544),
    ("shufflenet_slim", 3, 2, 256, 143_528, 38_947_204, 44_046_916),
    ("simple_cnn", 3, 2, 48, 1_015_450, 24_146_320, 24_146_320),
    ("alexnet_fcn", 3, 101, 240, 2_495_653, 759_226_560, 759_226_560),
    ("squeezenet1_1", 1, 10, 28, 726_410, 2_720_000, 2_720_020),
    ("squeezenet1_1", 3, 1000, 224, 1_235_496, 349_151_936, 349_321_936),
    ("conv3_fc2", 1, 10, 28, 390_634, 7_748_608, 7_924_224),
    ("conv3_fc2", 3, 10, 32, 620_586, 10_848_768, 11_078_144),
    ("vit_b_16", 3, 1000, 224, 86_567_656, 11_271_124_992, 11_286_254_592),
]
IDS = [f"{name}-{channels}x{size}" for name, channels, _, size, *_ in COUNTS]


@pytest.mark.parametrize("name, channels, outputs, size, params, macs, thop_macs", COUNTS, ids=IDS)
def test_published_counts(name, channels, outputs, size, params, macs, thop_macs):
    found = count(name, channels, outputs, size)
    assert (found.params, found.macs, found.thop_macs) == (params, macs, thop_macs)
    assert cost(name, channels, outputs, size) == found


@pytest.mark.parametrize("name, channels, outputs, size, expected", [
    ("alexnet_small", 1, 6, 256, [3_200, 204_928, 295_168, 8_390_656, 4_196_352, 12_294]),
    ("alexnet_fcn", 3, 101, 240, [23_296, 307_392, 663_936, 884_992, 590_080, 25_957]),
])  # fmt: skip
def test_published_parameters_of_each_layer(name, channels, outputs, size, expected):
    layers = [layer for layer in build(name, channels=channels, outputs=outputs, size=size).modules() if not [*layer.children()]]
    found = [sum(weight.numel() for weight in layer.parameters()) for layer in layers]
    assert [count for count in found if count] == expected


def test_published_parameters_of_the_two_parts_of_alexnet_fcn():
    network = build("alexnet_fcn", channels=3, outputs=101, size=240)
    parts = [sum(weight.numel() for weight in part.parameters()) for part in (network.features, network.head)]
    assert parts == [2_469_696, 25_957]


def test_unet_small_by_hand():
    """Each block is two convolutions without bias, each before a normalisation of two numbers a channel."""
    widths, up = [16, 32, 64, 128], [(48, 16), (96, 32), (192, 64)]
    blocks = [(16, 16), *zip(widths, widths[1:]), *up]
    stem, head = 25 * 16 + 2 * 16, 16 * 2 + 2
    expected = stem + sum(9 * a * b + 9 * b * b + 4 * b for a, b in blocks) + head
    assert cost("unet_small", 1, 2, 64).params == expected == 490_322


@pytest.mark.parametrize(
    "name, channels, outputs, size, printed, unit",
    [
        ("alexnet_small", 1, 6, 256, "155.07", 1e6), ("mobilenet_v3_small", 3, 42, 224, "61.497", 1e6),
        ("resnet18", 3, 1000, 256, "2.382", 1e9), ("resnet50", 3, 1000, 256, "5.399", 1e9),
        ("shufflenet_v2_x0_5", 3, 1000, 256, "57.90", 1e6), ("efficientnet_b0", 3, 1000, 256, "541.64", 1e6),
        ("mobilenet_v2", 3, 1000, 256, "427.35", 1e6), ("vgg16", 3, 1000, 256, "20.168", 1e9),
        ("vgg19", 3, 1000, 256, "25.604", 1e9), ("densenet121", 3, 1000, 256, "3.784", 1e9),
        ("shufflenet_slim", 3, 2, 256, "44.047", 1e6),
    ],
)  # fmt: skip
def test_tables_print_the_count_of_thop(name, channels, outputs, size, printed, unit):
    digits = len(printed.partition(".")[2])
    assert f"{cost(name, channels, outputs, size).thop_macs / unit:.{digits}f}" == printed


def test_alexnet_small_by_hand():
    convolutions = 85**2 * 64 * 49 + 21**2 * 128 * 64 * 25 + 10**2 * 256 * 128 * 9
    linears = 4096 * 2048 + 2048 * 2048 + 2048 * 6
    assert cost("alexnet_small", 1, 6, 256).macs == convolutions + linears
    assert cost("alexnet_small", 1, 6, 256).thop_macs == convolutions + linears + 4096 * 2  # each a mean of 1 number


def test_attention_of_vit_b_16_by_hand():
    tokens, width, blocks = 14**2 + 1, 768, 12
    each = 4 * tokens * width**2 + 2 * tokens**2 * width
    assert cost("vit_b_16", 3, 1000, 224).attention_macs == blocks * each


def test_vit_tiny_by_hand():
    stem = 32 * 32 * 32 * 1 * 9 + 16 * 16 * 64 * 32 * 9 + 8 * 8 * 128 * 64 * 9
    block = 64 * (4 * 128**2 + 2 * 128 * 256) + 2 * 64**2 * 128
    pool = 64 * 128 + 64 * 128
    assert cost("vit_tiny", 1, 10, 64).macs == stem + 6 * block + pool + 128 * 10
    assert cost("vit_tiny", 1, 10, 64).attention_macs == 0


@pytest.mark.parametrize("name", MODELS)
def test_memo_is_what_the_shapes_say(name):
    known = memo()[name]
    assert known["1"]["96"] == affine(name, 1, 96)
    assert trains(name, 3, known["smallest"], batch=2)
    assert known["smallest"] == 8 or not trains(name, 3, known["smallest"] - 1, batch=2)


def test_memo_knows_every_network_and_common_size():
    assert set(memo()) == set(MODELS)
    assert MEMO.stat().st_size < 300_000
    for known in memo().values():
        sizes = [size for size in SIZES if size >= known["smallest"] and size % known.get("multiple", 1) == 0]
        for channels in CHANNELS:
            assert list(known[str(channels)]) == [str(size) for size in sizes]


def test_rules_of_sizes():
    assert size_rules("simple_cnn") == {"smallest": 8}
    assert size_rules("vit_b_16") == {"smallest": 16, "multiple": 16}


@pytest.mark.parametrize("channels, outputs, size, options", [(2, 5, 50, {}), (1, 5, 64, {"patch_size": 4, "depth": 2})])
def test_what_the_memo_does_not_know_is_counted(channels, outputs, size, options):
    assert cost("vit_tiny", channels, outputs, size, **options) == count("vit_tiny", channels, outputs, size, **options)


def test_defaults_of_options_are_in_the_memo():
    assert options_taken("vit_tiny") == OPTIONS and options_taken("resnet18") == ()
    assert memo()["vit_tiny"]["options"] == {"patch_size": 8, "depth": 6}


@pytest.mark.parametrize(
    "name, size, expected",
    [
        ("alexnet_small", 64, "64 is too small for alexnet_small; give 81 or more"),
        ("alexnet_small", 80, "80 is too small for alexnet_small; give 81 or more"),
        ("vgg16", 16, "16 is too small for vgg16; give 32 or more"),
        ("vit_b_16", 100, "100 is not a multiple of 16, as vit_b_16 needs; give 96 or 112"),
    ],
)
def test_sizes_that_do_not_go_through(name, size, expected):
    with pytest.raises(BadInput) as caught:
        cost(name, 1, 6, size)
    assert (str(caught.value), caught.value.key) == (expected, "space.image_size")
    assert not trains(name, 1, size, batch=2)


@pytest.mark.parametrize(
    "name, maps, expected",
    [
        ("alexnet_fcn", False, "alexnet_fcn gives a map for each image, and the task needs numbers for each image"),
        ("resnet18", True, "resnet18 gives numbers for each image, and the task needs a map for each image"),
    ],
)
def test_network_and_task_must_go_together(name, maps, expected):
    with pytest.raises(BadInput, match=expected) as caught:
        cost(name, 1, 6, 96, maps=maps)
    assert caught.value.key == "space.architecture"
    assert cost(name, 1, 6, 96, maps=not maps) == cost(name, 1, 6, 96)


def test_one_image_has_no_statistics_in_a_map_of_one_pixel():
    assert not trains("mobilenet_v3_small", 3, 32, batch=1)
    assert trains("mobilenet_v3_small", 3, 32, batch=2)
    assert trains("simple_cnn", 3, 32, batch=1)


@pytest.mark.parametrize(
    "optimizer, momentum, states",
    [("sgd", 0, 0), ("sgd", 0.9, 1), ("adam", 0.9, 2), ("adamw", 0, 2), ("rmsprop", 0, 1), ("adagrad", 0, 1)],
)
def test_memory_of_a_step_by_formula(optimizer, momentum, states):
    found = cost("conv3_fc2", 1, 10, 28)
    assert found.memory(32, optimizer, momentum) == 4 * found.params * (2 + states) + 32 * found.activation_bytes


def test_activations_by_hand():
    """simple_cnn on 16 pixels: autograd keeps each convolution's input and output, each pool's result and places."""
    image, maps = 16 * 16, [32 * 16 * 16, 64 * 8 * 8, 128 * 4 * 4]
    pooled = [numbers // 4 for numbers in maps]
    head = 200 + 10 * 2  # the ReLU's result, and the output twice
    kept = 4 * (image + sum(maps) + sum(pooled) + head) + 8 * sum(pooled)
    assert cost("simple_cnn", 1, 10, 16).activation_bytes == pytest.approx(kept, rel=0.01)


@pytest.mark.parametrize(
    "name, size",
    [("simple_cnn", 64), ("conv3_fc2", 64), ("resnet18", 64), ("mobilenet_v2", 64), ("vit_tiny", 64), ("alexnet_fcn", 96)],
)
def test_memory_of_a_step_as_measured(name, size, batch=8):
    """What torch's allocator holds at the peak of a step, and the weights that were there before it."""
    torch.manual_seed(0)
    model, images = build(name, channels=3, outputs=10, size=size).train(), torch.rand(batch, 3, size, size)
    labels = torch.zeros(batch, *([size, size] if name in MAPS else []), dtype=torch.long)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        F.cross_entropy(model(images), labels).backward()
    changes = [event.nbytes() for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for change in changes:
        held += change
        peak = max(peak, held)
    found = cost(name, 3, 10, size)
    assert 4 * found.params + peak == pytest.approx(found.memory(batch, "sgd", momentum=0), rel=0.2)


def test_memo_is_read_without_torch():
    code = "import sys, trainables.cost as c; c.cost('resnet18', 3, 10, 64); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
