"""The networks: exact counts, shapes, and one contract that every one of them keeps."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainables.models import MODELS, build
from trainables.models.normalize import network
from trainables.models.stem import with_channels


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels, outputs, size", [(1, 6, 96), (3, 2, 88)], ids=["grey", "colour"])
def test_any_channels_outputs_and_size(name, channels, outputs, size):
    model = build(name, channels=channels, outputs=outputs, size=size).eval()
    assert model(torch.rand(2, channels, size, size)).shape == (2, outputs)


@pytest.mark.parametrize("name", MODELS)
def test_dropout_acts_in_training_only(name):
    model = build(name, channels=1, outputs=4, size=88, dropout=0.5)
    drops = [part for part in model.modules() if isinstance(part, nn.Dropout)]
    assert drops and all(part.p == 0.5 for part in drops)
    images = torch.rand(2, 1, 88, 88)
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name):
    model = build(name, channels=1, outputs=3, size=88)
    F.cross_entropy(model(torch.rand(4, 1, 88, 88)), torch.tensor([0, 1, 2, 0])).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_same_function_as_torchvision(name):
    """Pooling before ReLU and the added dropout leave the function as it was."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(1)
    ours = build(name, channels=3, outputs=5, size=64).eval()
    torch.manual_seed(1)
    theirs = getattr(torchvision.models, name)(num_classes=5).eval()
    weights = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict({key: value.clone() for key, value in weights})
    if name == "mobilenet_v3_small":
        assert all(part.eps == 0.001 for part in ours.modules() if isinstance(part, nn.BatchNorm2d))
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images))


def test_grey_stem_gives_what_colour_gave_for_grey():
    colour = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    grey = with_channels(colour, 1)
    images = torch.rand(2, 1, 9, 9)
    torch.testing.assert_close(grey(images), colour(images.repeat(1, 3, 1, 1)))
    assert with_channels(colour, 3) is colour


def test_normalisation_comes_first_and_travels_with_the_weights():
    first = network("simple_cnn", channels=3, outputs=2, size=16, mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 0.125])
    images = torch.full((1, 3, 16, 16), 0.6)
    expected = torch.tensor([1.0, 1.6, 2.4]).view(1, 3, 1, 1).expand_as(images)
    torch.testing.assert_close(first[0](images), expected)
    second = network("simple_cnn", channels=3, outputs=2, size=16)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.eval()(images), second.eval()(images))
