"""The networks: exact counts, shapes, and one contract that every one of them keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from search.errors import SpaceError
from search.plan import make_plan
from search.space import load_space
from tests.conftest import write_space
from trainables.config import TrialConfig
from trainables.cost import cost, memo
from trainables.data import Images, TrialData
from trainables.data.cache import forget, on_device
from trainables.fit import fit, new_model, train_epoch
from trainables.models import MAPS, MODELS, OPTIONS, build, builder, options_of
from trainables.models.count import network_of
from trainables.models.normalize import network
from trainables.models.stem import pool_before_relu, with_channels, with_dropout
from trainables.step import Steps, tensors
from trainables.tasks import Target
from trainables.tasks.task import make_task

HEAVY = {"vgg16", "vgg19", "vit_b_16"}  # hundreds of megabytes: on the meta device alone
LIGHT = sorted(set(MODELS) - HEAVY)
SIDE = 96  # every network takes it


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    forget()


def make_data(size: int, rows: int = 12, maps: bool = False) -> TrialData:
    """Return grey noise in two classes, by image or by pixel: enough to train on, with nothing to learn."""
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 1, size, size), dtype=np.uint8)
    images = Images(pixels, pixels[:, 0] % 2 if maps else np.arange(rows) % 2)
    target = Target("segmentation" if maps else "classification", ("even", "odd"))
    return TrialData(images, images, target, size, 1, key=f"noise-{size}-{rows}-{maps}")


def make_config(**settings) -> TrialConfig:
    return TrialConfig(**{"epochs": 1, "batch_size": 4, "precision": "fp32", **settings})


def expected(name: str, outputs: int, size: int) -> tuple[int, ...]:
    return (2, outputs, size, size) if name in MAPS else (2, outputs)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels, outputs, size", [(1, 6, 96), (3, 2, 112), (4, 1, 128)], ids=["grey", "colour", "four"])
def test_any_channels_outputs_and_size(name, channels, outputs, size):
    model = network_of(name, channels, outputs, size)
    assert model(torch.empty(2, channels, size, size, device="meta")).shape == expected(name, outputs, size)


@pytest.mark.parametrize("name", MODELS)
def test_smallest_size_trains(name):
    size = memo()[name]["smallest"]
    model = network_of(name, 3, 5, size).train()
    assert model(torch.empty(2, 3, size, size, device="meta")).shape == expected(name, 5, size)


@pytest.mark.parametrize("name", MODELS)
def test_dropout_reaches_the_network(name):
    model = network_of(name, 1, 4, SIDE, dropout=0.5)
    rates = {part.p for part in model.modules() if isinstance(part, nn.Dropout) and part.p}
    assert rates == ({0.5, 0.05} if name == "shufflenet_slim" else {0.5})


@pytest.mark.parametrize("name", LIGHT)
def test_nothing_is_random_in_evaluation(name):
    model = build(name, channels=1, outputs=4, size=SIDE, dropout=0.5).eval()
    images = torch.rand(2, 1, SIDE, SIDE)
    with torch.no_grad():
        first = model(images)
        assert torch.equal(first, model(images)) and first.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name):
    model = network_of(name, 1, 3, SIDE).train()
    scores = model(torch.empty(4, 1, SIDE, SIDE, device="meta"))
    labels = torch.empty(scores[:, 0].shape, dtype=torch.long, device="meta")
    F.cross_entropy(scores, labels).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", [*LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(HEAVY))])
def test_begun_again_in_place_is_as_built_anew(name):
    """A trial that takes over the network of another starts as one that built its own."""
    known = memo()[name]
    size = max(-(-24 // known.get("multiple", 1)) * known.get("multiple", 1), known["smallest"])
    data, device, steps = make_data(size, maps=name in MAPS), torch.device("cpu"), Steps()
    images, task = on_device(data, device).pool, make_task(data.target, TrialConfig())
    first, second = (make_config(architecture=name, image_size=size, dropout=rate, seed=int(10 * rate)) for rate in (0.3, 0.5))
    with steps.lent(first, images, task, new_model(first, data, 4, device)) as step:
        train_epoch(step, 4, rate=0.1)
    anew = new_model(second, data, 12, device)
    with steps.lent(second, images, task, anew) as again:
        assert again is step
        assert all(torch.equal(mine, new) for mine, new in zip(tensors(again.model), tensors(anew), strict=True))
        assert [name for name, _ in again.model.named_buffers()] == [name for name, _ in anew.named_buffers()]


SAME = ["resnet18", "shufflenet_v2_x0_5", "mobilenet_v3_small", "mobilenet_v2", "efficientnet_b0", "densenet121", "squeezenet1_1"]


@pytest.mark.parametrize("name", SAME)
def test_same_function_and_names_as_torchvision(name):
    """Pooling before ReLU and the added dropout leave the function and the names of the weights as they were."""
    torchvision = pytest.importorskip("torchvision")
    theirs = getattr(torchvision.models, name)(num_classes=5).eval()
    ours = build(name, channels=3, outputs=5, size=64).eval()
    ours.load_state_dict(theirs.state_dict())
    if name == "mobilenet_v3_small":
        assert all(part.eps == 0.001 for part in ours.modules() if isinstance(part, nn.BatchNorm2d))
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "vgg19", "vit_b_16"])
def test_same_names_as_torchvision(name):
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)().state_dict()
    ours = network_of(name, 3, 1000, 224).state_dict()
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in theirs.items()}


def test_alexnet_fcn_is_alexnet_as_far_as_it_goes():
    torchvision = pytest.importorskip("torchvision")
    theirs = torchvision.models.alexnet().features
    ours = build("alexnet_fcn", channels=3, outputs=4, size=64).eval()
    ours.features.load_state_dict(theirs.state_dict())
    images = torch.rand(2, 3, 96, 64)
    torch.testing.assert_close(ours.features(images), theirs(images))
    assert ours(images).shape == (2, 4, 96, 64)


def test_grey_stem_gives_what_colour_gave_for_grey():
    colour = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    grey = with_channels(colour, 1)
    images = torch.rand(2, 1, 9, 9)
    torch.testing.assert_close(grey(images), colour(images.repeat(1, 3, 1, 1)))
    assert with_channels(colour, 3) is colour


def test_dropout_before_a_layer_keeps_its_weights():
    linear = nn.Linear(6, 3)
    dropped = with_dropout(linear, 0.5)
    features = torch.rand(4, 6)
    assert dropped.state_dict().keys() == linear.state_dict().keys()
    assert torch.equal(dropped.eval()(features), linear(features))
    assert not torch.equal(dropped.train()(features), linear(features))


def test_pooling_moves_before_relu():
    layers = pool_before_relu(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(1, 1, 1), nn.ReLU()))
    assert [type(layer) for layer in layers] == [nn.MaxPool2d, nn.ReLU, nn.Conv2d, nn.ReLU]


@pytest.mark.parametrize("patch_size, depth, tokens", [(2, 1, 576), (4, 3, 144), (16, 2, 9), (32, 1, 4)])
def test_patch_size_and_depth_shape_the_transformer(patch_size, depth, tokens):
    model = build("vit_tiny", channels=1, outputs=3, size=48, patch_size=patch_size, depth=depth)
    assert model.position.shape[1] == tokens
    assert len(model.blocks) == depth + 1
    assert model(torch.rand(2, 1, 48, 48)).shape == (2, 3)


def test_options_reach_only_networks_that_name_them():
    assert options_of(builder("vit_tiny")) == set(OPTIONS) and options_of(builder("resnet18")) == set()
    assert build("simple_cnn", channels=1, outputs=2, size=16, patch_size=2, depth=3)
    config = make_config(architecture="vit_tiny", patch_size=4, depth=2, image_size=16)
    assert cost("vit_tiny", 1, 2, 16, **config.options()).params < cost("vit_tiny", 1, 2, 16).params
    (epoch,) = fit(config, make_data(16))
    assert len(epoch.model.network.blocks) == 3


def test_check_shows_every_choice_and_the_ends_of_a_range(tmp_path, images):
    overrides = ["space.architecture={choice: [simple_cnn, vit_tiny]}", "space.patch_size={choice: [4, 8, 2]}",
                 "space.depth={int: [1, 3]}"]
    plan = make_plan(load_space(write_space(tmp_path / "vit.yaml", images), overrides))
    forms = [f"vit_tiny(patch_size={patch}, depth={depth})" for patch in (4, 8, 2) for depth in (1, 3)]
    assert [network.label for network, _ in plan.networks] == ["simple_cnn", *forms]


def test_patch_sizes_are_chosen_and_not_drawn(tmp_path, images):
    with pytest.raises(SpaceError, match="draws numbers; give one of 2, 4, 8, 16, 32, or {choice: "):
        load_space(write_space(tmp_path / "vit.yaml", images), ["space.patch_size={int: [2, 8]}"])


def test_normalisation_comes_first_and_travels_with_the_weights():
    first = network("simple_cnn", channels=3, outputs=2, size=16, mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 0.125])
    images = torch.full((1, 3, 16, 16), 0.6)
    expected = torch.tensor([1.0, 1.6, 2.4]).view(1, 3, 1, 1).expand_as(images)
    torch.testing.assert_close(first[0](images), expected)
    second = network("simple_cnn", channels=3, outputs=2, size=16)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.eval()(images), second.eval()(images))
