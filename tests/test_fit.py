"""The training loop: it learns, repeats itself exactly, sees every image once, and says what is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from trainables.config import LR_SCHEDULES, OPTIMIZERS, TrialConfig
from trainables.data import Images, TrialData
from trainables.data.cache import forget, moments, on_device
from trainables.data.stream import batches
from trainables.errors import BadInput, NotFinite
from trainables.fit import EVALUATION_PIXELS, evaluate, fit, isolated, new_model, train_epoch
from trainables.memory import release
from trainables.models.normalize import network
from trainables.precision import autocast, has_bf16
from trainables.step import Step, Steps
from trainables.tasks import METRICS, Target
from trainables.tasks.classification import Classification, confusion_scores
from trainables.tasks.task import make_task

CPU = torch.device("cpu")
SIZE = 16
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def make_images(rows: int, channels: int, generator: np.random.Generator) -> Images:
    """Three classes by where the bright stripe stands, in noise; read-only, as Ray hands arrays out."""
    labels = np.arange(rows) % 3
    pixels = generator.integers(0, 60, (rows, channels, SIZE, SIZE), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, :, 5 * label : 5 * label + 4] += 120
    pixels.flags.writeable = labels.flags.writeable = False
    return Images(pixels, labels.astype(np.int64))


def make_data(channels: int = 1, pool: int = 60, val: int = 30, key: str = "stripes") -> TrialData:
    generator = np.random.default_rng(0)
    return TrialData(
        pool=make_images(pool, channels, generator),
        val=make_images(val, channels, generator),
        target=Target("classification", ("top", "middle", "bottom")),
        size=SIZE,
        channels=channels,
        key=f"{key}-{channels}-{pool}-{val}",
    )


def make_config(**settings) -> TrialConfig:
    defaults = {"architecture": "simple_cnn", "batch_size": 16, "image_size": SIZE, "epochs": 2, "precision": "fp32"}
    return TrialConfig(**{**defaults, **settings})


EVERYTHING = {
    "architecture": "conv3_fc2", "dropout": 0.3, "horizontal_flip": 0.5, "vertical_flip": 0.1, "rotation": 10,
    "shift": 0.1, "scale": 0.1, "shear": 5, "erasing": 0.3, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2,
    "hue": 0.1, "label_smoothing": 0.1, "lr_schedule": "cosine", "weight_decay": 1e-4, "split_ratio": 0.8,
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh():
    forget()


def numbers(config: TrialConfig, data: TrialData) -> list[tuple[float, ...]]:
    """Return what must repeat: each epoch's losses, and the sum of its weights."""
    return [
        (epoch.train_loss, epoch.val_loss, sum(weight.double().sum().item() for weight in epoch.model.parameters()))
        for epoch in fit(config, data)
    ]


def test_it_learns():
    *_, last = fit(make_config(epochs=6, learning_rate=3e-3), make_data())
    assert last.scores["accuracy"] >= 0.95
    assert last.val_loss < 0.5


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", LR_SCHEDULES)
def test_every_optimizer_and_schedule_trains(optimizer, schedule):
    epochs = list(fit(make_config(optimizer=optimizer, lr_schedule=schedule, epochs=3), make_data()))
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    assert epochs[-1].train_loss < epochs[0].train_loss


@pytest.mark.parametrize("architecture", ["conv3_fc2", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "simple_cnn"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_architecture_trains(architecture, channels):
    (epoch,) = fit(make_config(architecture=architecture, epochs=1), make_data(channels))
    assert np.isfinite(epoch.val_loss)


def test_row_is_flat_and_has_every_metric():
    (epoch,) = fit(make_config(epochs=1), make_data())
    row = epoch.row()
    assert set(METRICS["classification"]) <= set(row)
    assert all(isinstance(value, (int, float)) for value in row.values())
    assert row["loss"] == epoch.val_loss and row["epoch"] == 1 and row["learning_rate"] == 1e-3
    assert row["images_per_second"] == pytest.approx(60 / row["seconds"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_b_a_repeats_itself(precision):
    data, other = make_data(3), make_data(1)
    config = make_config(precision=precision, **EVERYTHING)
    first = numbers(config, data)
    numbers(make_config(seed=7, optimizer="sgd", precision="auto"), other)
    assert numbers(config, data) == first
    assert numbers(dataclasses.replace(config, seed=1), data) != first


def test_each_epoch_draws_anew():
    cpu = torch.device("cpu")
    drawn = []
    for seed, epoch in ((0, 1), (0, 2), (1, 1), (2**31 - 1, 1)):
        with isolated(seed, epoch, cpu):
            drawn.append(tuple(torch.randperm(50).tolist()))
    assert len(set(drawn)) == 4


def test_whoever_iterates_cannot_change_the_numbers():
    config, data = make_config(**EVERYTHING), make_data()
    expected = [(epoch.train_loss, epoch.val_loss) for epoch in fit(config, data)]
    found = []
    for epoch, other in zip(fit(config, data), fit(make_config(seed=3), data), strict=True):
        torch.rand(7)
        torch.manual_seed(other.epoch)
        epoch.model.eval()
        found.append((epoch.train_loss, epoch.val_loss))
    assert found == expected


def state_of_the_process() -> tuple:
    """Return what a trial could leave behind for the next: generator, threads, types, and the flags of the backends."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    flags = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32
    modes = torch.is_autocast_enabled("cpu"), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()
    threads = torch.get_num_threads(), threading.active_count()
    return torch.get_rng_state().tolist(), torch.get_default_dtype(), flags, modes, threads


@pytest.mark.parametrize("settings", [EVERYTHING, {"precision": "bf16"}, {"learning_rate": 100, "optimizer": "sgd"}],
                         ids=["everything", "bf16", "fails"])  # fmt: skip
def test_process_is_left_as_it_was(settings):
    torch.manual_seed(5)
    before = state_of_the_process()
    with contextlib.suppress(NotFinite):
        list(fit(make_config(**settings), make_data()))
    assert state_of_the_process() == before


def test_epochs_agree_with_a_plain_loop():
    """Same seed, no augmentation: the loop is gradient descent over shuffled batches and nothing else."""
    config, data = make_config(optimizer="sgd", epochs=1), make_data()
    (epoch,) = fit(config, data)
    mean, std = moments(data, 60, CPU)
    with isolated(config.seed, 0, CPU):
        model = network("simple_cnn", channels=1, outputs=3, size=SIZE, mean=mean, std=std)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    with isolated(config.seed, 1, CPU):
        order = torch.randperm(60)
    pixels, labels = torch.tensor(data.pool.pixels) / 255, torch.tensor(data.pool.targets)
    losses = []
    for rows in order.split(16):
        loss = F.cross_entropy(model(pixels[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.item()] * len(rows)
    assert epoch.train_loss == pytest.approx(np.mean(losses), rel=1e-5)
    for name, weight in epoch.model.state_dict().items():
        torch.testing.assert_close(weight, model.state_dict()[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rows, size, lengths", [
    (60, 16, [16, 16, 16, 12]), (33, 16, [16, 17]), (32, 16, [16, 16]), (5, 5, [5]), (3, 1, [1, 1, 1]), (1, 1, [1]),
])  # fmt: skip
def test_every_image_once_an_epoch(rows, size, lengths):
    parts = batches(rows, size, CPU)
    assert [len(part) for part in parts] == lengths
    assert sorted(torch.cat(parts).tolist()) == list(range(rows))


def test_split_ratio_is_a_prefix_of_the_pool():
    """Rows beyond the prefix may say anything."""
    data = make_data()
    labels = data.pool.targets.copy()
    labels[30:] = 0
    spoiled = dataclasses.replace(data, pool=Images(data.pool.pixels, labels), key="spoiled")
    config = make_config(split_ratio=0.5)
    assert numbers(config, spoiled) == numbers(config, data)
    assert numbers(make_config(), spoiled) != numbers(make_config(), data)


def test_normalisation_is_that_of_the_training_rows():
    data = make_data(channels=3)
    (epoch,) = fit(make_config(epochs=1, split_ratio=0.5), data)
    pixels = data.pool.pixels[:30] / 255
    np.testing.assert_allclose(epoch.model[0].mean.flatten(), pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(epoch.model[0].std.flatten(), pixels.std((0, 2, 3)), rtol=1e-6)


def make_step(config: TrialConfig, data: TrialData, device: torch.device = CPU) -> Step:
    """Return a step as `fit` makes it."""
    with isolated(config.seed, 0, device):
        model = new_model(config, data, len(data.pool), device)
    step = Step(config, on_device(data, device).pool, make_task(data.target, config), model)
    step.begin(config, model)
    return step


def test_evaluation_does_not_depend_on_its_batches():
    data = make_data(val=5000)
    step, images = make_step(make_config(), data), on_device(data, CPU).val
    with torch.inference_mode():
        whole = step.task.measure(step.model.eval()(images.pixels / 255), images.targets)
    assert EVALUATION_PIXELS // SIZE**2 < 5000
    torch.testing.assert_close(evaluate(step, images), whole, rtol=1e-5, atol=0)


@pytest.mark.parametrize("settings, key, message", [
    ({"batch_size": 61}, "space.batch_size", "61 is more than the 60 training rows; give 60 or less"),
    ({"batch_size": 31, "split_ratio": 0.5}, "space.batch_size",
     "31 is more than the 30 training rows; give 30 or less"),
    ({"architecture": "alexnet_small"}, "space.image_size", "16 is too small for alexnet_small; give 81 or more"),
    ({"image_size": 32}, "space.image_size", "the images are 16 pixels wide, not 32"),
    ({"architecture": "mobilenet_v3_small", "batch_size": 1}, "space.batch_size",
     "1 is too few for the batch statistics of mobilenet_v3_small; give 2"),
], ids=["batch", "batch-of-share", "size", "other-size", "statistics"])  # fmt: skip
def test_what_cannot_be_trained_is_said(settings, key, message):
    with pytest.raises(BadInput) as caught:
        next(fit(make_config(**settings), make_data()))
    assert (str(caught.value), caught.value.key) == (message, key)


def test_loss_that_is_not_finite_ends_the_trial():
    with pytest.raises(NotFinite, match=r"the training loss became (nan|inf) in epoch \d"):
        list(fit(make_config(optimizer="sgd", learning_rate=100, epochs=5), make_data()))


def test_rows_stay_where_they_are_on_the_cpu_and_are_kept():
    data = make_data()
    there = on_device(data, CPU)
    assert there.pool.pixels.data_ptr() == data.pool.pixels.ctypes.data
    assert on_device(data, CPU) is there


def test_bf16_is_near_fp32_and_auto_is_one_of_both():
    data = make_data()
    names = ("fp32", "bf16", "auto")
    loss = {name: [epoch.val_loss for epoch in fit(make_config(precision=name), data)] for name in names}
    assert loss["bf16"] == pytest.approx(loss["fp32"], rel=0.05)
    assert loss["auto"] in (loss["fp32"], loss["bf16"])


@pytest.mark.parametrize("architecture, precision, expected", [
    ("conv3_fc2", "fp32", False), ("conv3_fc2", "bf16", True), ("conv3_fc2", "auto", has_bf16(CPU)),
    ("mobilenet_v3_small", "bf16", True), ("mobilenet_v3_small", "auto", False), ("shufflenet_v2_x0_5", "auto", False),
])  # fmt: skip
def test_precision_is_what_was_measured_to_be_fast(architecture, precision, expected):
    model = network(architecture, channels=1, outputs=2, size=32)
    with autocast(precision, CPU, model):
        assert torch.is_autocast_enabled("cpu") is expected


CONFUSION = [[3, 1, 0], [0, 2, 2], [0, 0, 0]]  # eight rows, none of the third class


def test_scores_by_hand():
    assert confusion_scores(CONFUSION) == pytest.approx({
        "accuracy": 5 / 8,
        "balanced_accuracy": (3 / 4 + 2 / 4) / 2,
        "macro_f1": (6 / 7 + 4 / 7 + 0) / 3,
    })  # fmt: skip


def test_sums_of_batches_are_the_scores_of_all():
    task = Classification(("a", "b", "c"), label_smoothing=0.1)
    logits, labels = torch.randn(20, 3), torch.arange(20) % 3
    sums = task.measure(logits[:7], labels[:7]) + task.measure(logits[7:], labels[7:])
    found = task.scores(sums.tolist())
    assert found["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    assert found["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)


def test_loop_needs_neither_ray_nor_optuna_nor_mlflow_nor_torchvision():
    others = {"ray", "optuna", "mlflow", "torchvision"}
    code = f"import sys, trainables.fit, trainables.models.conv3_fc2; assert not {others} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is of Linux")
def test_freed_memory_is_kept():
    code = "from trainables.memory import keep_freed_memory; assert keep_freed_memory()"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("architecture", ["simple_cnn", "conv3_fc2", "resnet18"])
def test_gpu_agrees_with_the_cpu_before_training(architecture):
    """Same weights, same rows: what differs on the GPU is the order of sums alone."""
    data, config = make_data(3), make_config(architecture=architecture, learning_rate=1e-30, epochs=1, optimizer="sgd")
    losses = [next(fit(config, data, device=device)).val_loss for device in ("cpu", "cuda")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_gpu_learns(optimizer, precision):
    rate = 3e-2 if optimizer == "sgd" else 3e-3
    config = make_config(architecture="conv3_fc2", optimizer=optimizer, precision=precision, learning_rate=rate)
    *_, last = fit(dataclasses.replace(config, epochs=8), make_data(), device="cuda")
    assert last.scores["accuracy"] >= 0.9


@pytest.mark.gpu
@needs_gpu
def test_gpu_never_waits_inside_an_epoch():
    """torch raises at any call that would wait for the device while an epoch's steps are queued."""
    data, device = make_data(3), torch.device("cuda")
    step = make_step(make_config(**EVERYTHING), data, device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_epoch(step, 48, 1e-3)
        evaluate(step, on_device(data, device).val)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@needs_gpu
def test_a_trial_that_is_too_large_for_the_gpu_leaves_it_to_the_next():
    """F10: what the failed one had taken is free again, and the same process trains another."""
    data, steps = make_data(pool=2100), Steps()
    share = 2**28 / torch.cuda.get_device_properties(0).total_memory  # of which the weights of resnet18 and Adam's take 0.7
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            list(fit(make_config(architecture="resnet18", optimizer="adam", batch_size=1024), data, device="cuda", steps=steps))
        release(steps)
        assert torch.cuda.memory_allocated() < 2**26  # 32 MiB of it may be cuBLAS's workspace
        assert len(list(fit(make_config(), data, device="cuda", steps=steps))) == 2
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
