"""The step that trials of one shape share: begun afresh it is a new one, and it takes its numbers from tensors."""

from __future__ import annotations

import dataclasses
import weakref

import pytest
import torch

from tests.test_fit import CPU, EVERYTHING, make_config, make_data, make_step, needs_gpu, numbers
from trainables.config import OPTIMIZERS
from trainables.data.cache import forget, on_device
from trainables.data.stream import AHEAD, HostImages
from trainables.fit import fit, isolated, new_model, train_epoch
from trainables.graph import captured
from trainables.memory import release
from trainables.models import MODELS, build
from trainables.models.dropout import Dropout, with_tensor_dropout
from trainables.step import Step, Steps, shape, tensors

SMALL = [name for name in MODELS if name in ("conv3_fc2", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "simple_cnn")]


@pytest.fixture(autouse=True)
def fresh():
    forget()


def trained(step: Step, epochs: int = 1, rate: float = 1e-2) -> list[torch.Tensor]:
    """Train a little, as `fit` does, and return copies of all tensors of the model, and the loss."""
    for epoch in range(1, epochs + 1):
        with isolated(step.config.seed, epoch, step.device):
            total = train_epoch(step, len(step.images), rate)
    return [tensor.detach().clone() for tensor in (*tensors(step.model), total)]


@pytest.mark.parametrize("architecture", SMALL)
def test_beginning_again_in_place_is_building_anew(architecture):
    """Whatever was trained before, at another rate, decay and dropout, leaves no trace."""
    data = make_data(3)
    config = make_config(architecture=architecture, dropout=0.3, weight_decay=0.01)
    other = dataclasses.replace(config, dropout=0.7, weight_decay=0.5, seed=9)
    expected = trained(make_step(config, data))
    step = make_step(other, data)
    assert not all(map(torch.equal, trained(step), expected))
    with isolated(config.seed, 0, CPU):
        step.begin(config, new_model(config, data, len(data.pool), CPU))
    assert all(map(torch.equal, trained(step), expected))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_b_a_with_a_shared_step_repeats_itself(optimizer):
    data, steps = make_data(), Steps()

    def losses(**settings) -> list[tuple[float, float]]:
        config = make_config(**{**EVERYTHING, "optimizer": optimizer, **settings})
        return [(epoch.train_loss, epoch.val_loss) for epoch in fit(config, data, steps=steps)]

    first = losses()
    losses(seed=4, learning_rate=1e-2, weight_decay=0.1, dropout=0.6, epochs=1, split_ratio=0.5, lr_schedule="none")
    assert losses() == first
    assert len(steps._kept) == 1


def test_steps_are_shared_one_after_the_other_only():
    data, steps, config = make_data(), Steps(), make_config()
    one, two = fit(config, data, steps=steps), fit(config, data, steps=steps)
    first, second = next(one).model, next(two).model
    assert first is not second
    one.close()
    assert next(fit(config, data, steps=steps)).model is first


def test_steps_forget_the_oldest():
    data, steps = make_data(), Steps()
    for size in range(8, 18):
        next(fit(make_config(batch_size=size, epochs=1), data, steps=steps))
    assert [key[0].batch_size for key in steps._kept] == list(range(10, 18))


@pytest.mark.parametrize("settings, same", [
    ({"learning_rate": 0.5, "seed": 3, "epochs": 9, "split_ratio": 0.5, "lr_schedule": "cosine"}, True),
    ({"weight_decay": 0.2, "dropout": 0.6}, True),
    ({"weight_decay": 0.0}, False), ({"dropout": 0.0}, False), ({"batch_size": 8}, False), ({"momentum": 0.5}, False),
    ({"rotation": 5}, False), ({"architecture": "conv3_fc2"}, False), ({"precision": "bf16"}, False),
], ids=str)  # fmt: skip
def test_what_a_step_is_shared_over(settings, same):
    config = make_config(weight_decay=0.1, dropout=0.3)
    assert (shape(dataclasses.replace(config, **settings)) == shape(config)) is same


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    dropped = Dropout(0.3)(torch.ones(100_000))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(Dropout(0.3).eval()(torch.ones(9)), torch.ones(9))


@pytest.mark.parametrize("architecture", SMALL)
def test_tensor_dropout_takes_the_place_of_torchs_and_adds_no_weights(architecture):
    plain, ours = (build(architecture, channels=1, outputs=2, size=32, dropout=0.4) for _ in range(2))
    with_tensor_dropout(ours)
    assert list(ours.state_dict()) == list(plain.state_dict())
    places = [[name for name, part in plain.named_modules() if isinstance(part, torch.nn.Dropout)]]
    places.append([name for name, part in ours.named_modules() if isinstance(part, Dropout)])
    assert places[0] == places[1] != []
    ours.load_state_dict(plain.state_dict())
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(ours.eval()(images), plain.eval()(images))


@pytest.mark.parametrize("settings", [{}, EVERYTHING], ids=["plain", "everything"])
def test_images_that_do_not_fit_the_device_give_the_same_numbers(settings):
    config, data = make_config(**settings), make_data(3)
    expected = numbers(config, data)
    forget()
    assert isinstance(on_device(data, CPU, limit=1000).pool, HostImages)
    assert numbers(config, data) == expected


@pytest.mark.parametrize("rows, size", [(60, 16), (33, 16), (5, 2), (60, 1), (3, 3)])
def test_streamed_images_come_once_an_epoch(rows, size):
    data = make_data()
    images = on_device(data, CPU, limit=0).pool
    torch.manual_seed(0)
    found = list(images.shuffled(rows, size))
    assert (len(found) > AHEAD) is (rows / size > AHEAD)
    torch.manual_seed(0)
    order = torch.randperm(rows)
    assert torch.equal(torch.cat([pixels for pixels, _ in found]), torch.tensor(data.pool.pixels)[order])
    assert torch.equal(torch.cat([labels for _, labels in found]), torch.tensor(data.pool.targets)[order])


def test_release_gives_back_networks_and_images():
    data, steps = make_data(), Steps()
    network = weakref.ref([epoch.model for epoch in fit(make_config(epochs=1), data, steps=steps)][0])
    kept = on_device(data, CPU)
    assert network() is not None
    release(steps)
    assert network() is None
    assert on_device(data, CPU) is not kept


def test_off_cuda_the_step_is_the_function_itself():
    def function(tensor):
        raise AssertionError("it must not run")

    assert captured(function, torch.zeros(1)) is function


# On a GPU

def eager(step: Step) -> Step:
    """Return ``step`` without its graph."""
    step.run = step.train
    return step


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_graph_and_eager_agree(optimizer, precision):
    """Two epochs with every augmentation, dropout, decay and a partial last batch: the same draws, the same numbers."""
    data = make_data(3)
    config = make_config(**{**EVERYTHING, "optimizer": optimizer, "precision": precision})
    device = torch.device("cuda")
    step = make_step(config, data, device)
    assert step.run != step.train
    *weights, loss = trained(step, epochs=2, rate=1e-4)
    *expected, expected_loss = trained(eager(make_step(config, data, device)), epochs=2, rate=1e-4)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-3, atol=0)
    for ours, plain in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-2, atol=2e-3)  # adaptive steps make much of the order of sums


@pytest.mark.gpu
@needs_gpu
def test_graph_is_used_again_with_other_numbers():
    data, device = make_data(), torch.device("cuda")
    config = make_config(architecture="conv3_fc2", dropout=0.3, weight_decay=0.01)
    other = dataclasses.replace(config, dropout=0.6, weight_decay=0.1, seed=3)
    step = make_step(other, data, device)
    trained(step, rate=0.1)
    with isolated(config.seed, 0, device):
        step.begin(config, new_model(config, data, len(data.pool), device))
    for ours, new in zip(trained(step), trained(make_step(config, data, device)), strict=True):
        torch.testing.assert_close(ours, new, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@needs_gpu
def test_streamed_images_agree_on_the_gpu():
    config, data, device = make_config(**EVERYTHING), make_data(3), torch.device("cuda")
    expected = [epoch.val_loss for epoch in fit(config, data, device=device)]
    forget()
    on_device(data, device, limit=1000)
    assert [epoch.val_loss for epoch in fit(config, data, device=device)] == pytest.approx(expected, rel=1e-3)


@pytest.mark.gpu
@needs_gpu
def test_what_cannot_be_captured_says_so_and_runs():
    def waits(tensor):
        tensor.add_(1 if tensor.sum().item() > -1 else 2)

    example = torch.zeros(3, device="cuda")
    with pytest.warns(UserWarning, match="not captured as a CUDA graph and runs eagerly"):
        run = captured(waits, example)
    run(example)
    assert example.tolist() == [1, 1, 1]


@pytest.mark.gpu
@needs_gpu
def test_memory_of_a_step_is_measured():
    (epoch,) = fit(make_config(epochs=1), make_data(), device="cuda")
    weights = sum(weight.numel() * weight.element_size() for weight in epoch.model.parameters())
    assert epoch.row()["memory"] > weights
