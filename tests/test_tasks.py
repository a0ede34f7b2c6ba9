"""Landmarks and segmentation: whole searches, their models, and each loss and metric against a column worked by hand."""

from __future__ import annotations

import csv
import json
import math
from operator import itemgetter
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image
from torch.nn import functional as F

from search import cli
from search.errors import SpaceError
from search.plan import make_plan
from search.run import run_search
from search.sealed import by_group, resampled, sealed_score
from search.space import load_space
from search.stores import default_store
from tests.conftest import write_space
from tests.task_files import masks_data, points_data, write_masks, write_points, write_task_space
from tests.test_report import read_page
from trainables.config import TrialConfig
from trainables.data import DataConfig, Images, TrialData, load_image, scan, split, trial_data
from trainables.data.cache import DeviceImages, forget
from trainables.errors import NotFinite
from trainables.export import predict, read_model, task_of
from trainables.fit import fit
from trainables.tasks import HEADS, IGNORED, METRICS, NORMALISED, RESIZED, TASKS, UNUSED, Target, read_target
from trainables.tasks.classification import Classification
from trainables.tasks.landmarks import BETA, Landmarks
from trainables.tasks.segmentation import Segmentation
from trainables.tasks.task import make_task
from trainables.tasks.weights import class_weights


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    forget()


# Whole searches

def search(folder: Path, name: str, data: str, metric: str, architecture: str, epochs: int):
    space = load_space(write_task_space(folder / f"{name}.yaml", data, metric, architecture, epochs))
    return run_search(space, results=folder / "results")


@pytest.fixture(scope="module")
def landmarks(tmp_path_factory):
    """A search for two points: its data, its results folder and its outcome."""
    folder = tmp_path_factory.mktemp("landmarks")
    root = write_points(folder / "data")
    return root, folder / "results", search(folder, "corners", points_data(root), "normalised_diff", "simple_cnn", 20)


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    """A search for a square: its data, its results folder and its outcome."""
    folder = tmp_path_factory.mktemp("segmentation")
    root = write_masks(folder / "data")
    return root, folder / "results", search(folder, "squares", masks_data(root), "mean_iou", "unet_small", 8)


class TestLandmarks:
    def test_ends_better_than_the_mean_shape_on_whole_groups(self, landmarks):
        root, _, outcome = landmarks
        catalog = scan(load_space(write_task_space(root / "x.yaml", points_data(root), "loss", "simple_cnn", 1)).data)
        guess = catalog.targets.array(np.arange(60), 16)
        spread = np.nanmean(np.abs(guess - np.nanmean(guess, 0))) / 16
        low, high = outcome.test_interval
        assert low <= outcome.test <= high < spread
        assert outcome.interval_method == "bootstrap, 1000 resamples of the groups"

    def test_report_and_record_have_each_point(self, landmarks):
        _, results, outcome = landmarks
        assert outcome.details["points"] == ["0", "1"] and outcome.details["seen"][0] == outcome.test_rows
        assert json.loads((results / "corners" / "search.json").read_text())["details"] == outcome.details
        text = MlflowClient(tracking_uri=outcome.tracking).list_artifacts(outcome.run_id)
        assert "sealed.json" in [file.path for file in text]

    def test_the_report_draws_the_worst_and_some_others(self, landmarks):
        _, results, outcome = landmarks
        page = read_page(results / "corners" / "report.html")
        assert 6 < len(page.pictures) <= outcome.test_rows and all("of the side off" in words for words in page.captions)
        assert [row[:2] for row in page.tables["points"][1:]] == [[name, str(seen)] for name, seen in
                                                                  zip(outcome.details["points"], outcome.details["seen"])]
        assert "Green rings are the true points" in page.words

    def test_predicts_points_in_the_pixels_of_the_image_itself(self, landmarks, tmp_path):
        root, results, outcome = landmarks
        out = tmp_path / "out.csv"
        assert cli.main(["predict", "corners", str(root / "images"), "-o", str(out), "--results", str(results)]) == 0
        found = list(csv.DictReader(out.read_text().splitlines()))
        truth = list(csv.DictReader((root / "points.csv").read_text().splitlines()))
        assert list(found[0]) == ["image", "x0", "y0", "x1", "y1"] and len(found) == 60
        errors = [abs(float(ours[axis]) - float(theirs[axis])) for ours, theirs in zip(found, truth) for axis in ("x0", "y0")]
        assert np.mean(errors) < 4  # of 32 x 24 pixels

    def test_the_registered_model_gives_points_of_the_networks_image(self, landmarks):
        root, _, outcome = landmarks
        pixels = np.stack([load_image(root / "images" / "00.png", 16, 1)[0]])
        with default_store(outcome.tracking):
            served = mlflow.pyfunc.load_model(outcome.registered)
        model, card = read_model(Path(outcome.model))
        assert card.target == Target("landmarks", ("0", "1"), pairs=((0, 1),))
        expected = predict(model, task_of(card), pixels)
        assert expected.shape == (1, 2, 2)
        np.testing.assert_allclose(served.predict(pixels.astype(np.float32) / 255), expected, atol=1e-4)


class TestSegmentation:
    def test_ends_better_than_background_everywhere(self, segmentation):
        _, _, outcome = segmentation
        (background, _), (square, _) = outcome.details["confusion"][0], outcome.details["confusion"][1]
        pixels = sum(map(sum, outcome.details["confusion"]))
        nothing = sum(outcome.details["confusion"][0]) / pixels / 2
        assert pixels == outcome.test_rows * 16 * 16
        assert outcome.test > nothing + 0.15 and outcome.test_interval[0] <= outcome.test <= outcome.test_interval[1]
        assert outcome.test == pytest.approx(np.mean(list(outcome.details["iou"].values())))
        assert background > square

    def test_the_report_draws_masks_over_images(self, segmentation):
        _, results, outcome = segmentation
        page = read_page(results / "squares" / "report.html")
        assert 6 < len(page.pictures) <= outcome.test_rows and all("of the pixels right" in words for words in page.captions)
        ious = {row[0]: row[-1] for row in page.tables["classes"][1:]}
        assert ious == {name: f"{iou:.1%}" for name, iou in outcome.details["iou"].items()}

    def test_predicts_masks_of_the_images_own_size_and_values(self, segmentation, tmp_path, capsys):
        root, results, _ = segmentation
        out = tmp_path / "masks"
        words = ["predict", "squares", str(root / "images"), "-o", str(out), "--results", str(results), "--json"]
        assert cli.main(words) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["mask"] for row in rows] == [str(out / f"{number:02}.png") for number in range(60)]
        assert sum(rows[0]["shares"].values()) == pytest.approx(1, abs=1e-5)
        found = np.stack([np.asarray(Image.open(file)) for file in sorted(out.iterdir())])
        truth = np.stack([np.asarray(Image.open(file)) for file in sorted((root / "masks").iterdir())])
        assert found.shape == truth.shape and set(np.unique(found)) == {0, 255}
        assert (found == truth).mean() > 0.9

    def test_masks_need_a_folder_and_never_take_an_images_place(self, segmentation, tmp_path, capsys):
        root, results, _ = segmentation
        image = tmp_path / "a.png"
        Image.open(root / "images" / "00.jpg").save(image)
        for more, expected in ((["-o", str(tmp_path)], "an image would be written over"), ([], "give -o FOLDER")):
            assert cli.main(["predict", "squares", str(image), *more, "--results", str(results)]) == 2
            err = capsys.readouterr().err
            assert expected in err and err.count("\n") == 1
        with Image.open(image) as left:
            assert left.size == (32, 24) and left.mode == "L"

    def test_the_registered_model_gives_classes_of_pixels(self, segmentation):
        root, _, outcome = segmentation
        pixels = np.stack([load_image(root / "images" / "00.jpg", 16, 1)[0]])
        with default_store(outcome.tracking):
            served = mlflow.pyfunc.load_model(outcome.registered)
        found = served.predict(pixels.astype(np.float32) / 255)
        assert found.shape == (1, 16, 16) and found.dtype == np.uint8 and set(np.unique(found)) <= {0, 1}


# Losses and metrics

CONFIG = TrialConfig(image_size=10)


def test_every_task_is_in_every_table():
    assert set(TASKS) == set(METRICS) == set(HEADS) == set(UNUSED)
    assert {name for pair in NORMALISED.items() for name in pair} <= set(METRICS["landmarks"])
    assert set(RESIZED) <= set(METRICS["segmentation"])
    for task in TASKS:
        target = Target(task, ("a", "b"))
        assert read_target(json.loads(json.dumps(vars(target)))) == target
        made = make_task(target, CONFIG)
        outputs = torch.randn(3, target.outputs, *([10, 10] if target.maps else []))
        truth = {"classification": torch.tensor([0, 1, 1]), "landmarks": 9 * torch.rand(3, 2, 2),
                 "segmentation": torch.randint(0, 2, (3, 10, 10), dtype=torch.uint8)}[task]
        sums = made.measure(outputs, truth)
        each = {"iou_0", "iou_1"} if task == "segmentation" else set()
        assert set(made.scores(sums.tolist())) == {*METRICS[task], *each}
        torch.testing.assert_close(sums, made.measure(outputs[:1], truth[:1]) + made.measure(outputs[1:], truth[1:]))
        assert json.dumps(made.details(sums.tolist()))
        assert made.loss(outputs, truth).ndim == 0


def test_landmarks_by_hand():
    """Two images of 10 pixels and two points; one point is missing."""
    task = Landmarks(("a", "b"), 10)
    truth = torch.tensor([[[2.0, 3.0], [7.0, 7.0]], [[4.0, 4.0], [math.nan, math.nan]]])
    found = torch.tensor([[[5.0, 7.0], [7.0, 8.0]], [[4.0, 4.0], [0.0, 9.0]]])  # off by (3, 4), (0, 1), (0, 0), nothing
    outputs = ((2 * found + 1) / 10 - 1).flatten(1)
    scores = task.scores(task.measure(outputs, truth).tolist())
    errors = [3 / 5, 4 / 5, 0, 1 / 5, 0, 0]
    loss = sum(error - BETA / 2 if error >= BETA else error**2 / (2 * BETA) for error in errors) / 6
    assert scores == pytest.approx({"loss": loss, "pixel_distance": 2, "pixel_diff": 8 / 6, "normalised_distance": 0.2,
                                    "normalised_diff": 8 / 60}, abs=1e-6)
    assert task.loss(outputs, truth).item() == pytest.approx(loss, rel=1e-5)
    assert task.details(task.measure(outputs, truth).tolist()) == {
        "points": ["a", "b"], "seen": [2, 1], "normalised_distance": pytest.approx([0.25, 0.1])}
    np.testing.assert_allclose(task.predict(outputs), found, atol=1e-5)


def test_missing_points_have_no_part_in_the_gradient():
    task = Landmarks(("a", "b"), 10)
    outputs = torch.zeros(2, 4, requires_grad=True)
    truth = torch.full((2, 2, 2), math.nan)
    task.loss(outputs, truth).backward()
    assert torch.equal(outputs.grad, torch.zeros(2, 4))
    truth[0, 1] = 3.0
    task.loss(outputs, truth).backward()
    assert torch.equal(outputs.grad != 0, torch.tensor([[False, False, True, True], [False] * 4]))


def test_points_are_answered_in_the_images_own_pixels():
    task = Landmarks(("0",), 10)
    answer = task.answer(np.array([[4.5, 0.0]], np.float32), (20, 40))
    assert answer.fields == {"points": {"x0": 9.5, "y0": 1.5}} and answer.text == "9.5,1.5"


def test_segmentation_by_hand():
    """Nine pixels: 4 right of the first class, 1 right of the second, 1 and 2 taken for the other, 1 ignored."""
    task = Segmentation(("a", "b"))
    truth = torch.tensor([[[0, 0, 0], [0, 0, 1], [1, 1, IGNORED]]], dtype=torch.uint8)
    found = torch.tensor([[[0, 0, 0], [0, 1, 0], [0, 1, 1]]])
    logits = 4.0 * F.one_hot(found, 2).movedim(3, 1)
    scores = task.scores(task.measure(logits, truth).tolist())
    right, wrong = math.log(1 + math.exp(-4)), math.log(1 + math.exp(4))
    loss = (5 * right + 3 * wrong) / 8
    assert scores == pytest.approx({"loss": loss, "mean_iou": (4 / 7 + 1 / 4) / 2, "pixel_accuracy": 5 / 8,
                                    "iou_0": 4 / 7, "iou_1": 1 / 4}, rel=1e-6)
    assert task.details(task.measure(logits, truth).tolist()) == {
        "classes": ["a", "b"], "iou": {"a": 4 / 7, "b": 1 / 4}, "confusion": [[4, 1], [2, 1]]}
    assert torch.equal(task.predict(logits), found.to(torch.uint8))


def test_a_class_that_is_neither_there_nor_predicted_has_no_iou():
    task = Segmentation(("a", "b", "c"))
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 0] = 1
    sums = task.measure(logits, torch.zeros(1, 2, 2, dtype=torch.uint8)).tolist()
    assert task.scores(sums)["mean_iou"] == task.scores(sums)["iou_0"] == 1 and "iou_1" not in task.scores(sums)
    assert task.details(sums)["iou"] == {"a": 1, "b": None, "c": None}


def test_the_training_loss_adds_dice_by_hand():
    """Four pixels, probabilities 0.8 for what is right in three of them and wrong in the last; one more is ignored."""
    truth = torch.tensor([[[0, 0], [1, 0]], [[IGNORED, IGNORED], [IGNORED, IGNORED]]], dtype=torch.uint8)
    found = torch.tensor([[[0, 0], [1, 1]], [[0, 0], [0, 0]]])
    logits = math.log(4) * F.one_hot(found, 2).movedim(3, 1).float()
    entropy = -(3 * math.log(0.8) + math.log(0.2)) / 4
    first = (2 * (0.8 + 0.8 + 0.2) + 1) / (0.8 + 0.8 + 0.2 + 0.2 + 3 + 1)
    second = (2 * 0.8 + 1) / (0.2 + 0.2 + 0.8 + 0.8 + 1 + 1)
    assert Segmentation(("a", "b")).loss(logits, truth).item() == pytest.approx(entropy + 1 - (first + second) / 2, rel=1e-5)


def test_ignored_pixels_have_no_part_in_the_gradient():
    task = Segmentation(("a", "b"), weights=torch.tensor([0.5, 4.0]))
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    task.loss(logits, torch.full((1, 2, 2), IGNORED, dtype=torch.uint8)).backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize(("values", "mode", "colour"), [
    ((), "L", 1), ((0, 255), "L", 255), (((0, 0, 0), (255, 0, 9)), "RGB", (255, 0, 9)),
], ids=["indices", "grey", "colours"])  # fmt: skip
def test_masks_are_answered_as_they_were_written(values, mode, colour):
    answer = Segmentation(("a", "b"), values).answer(np.array([[0, 1], [1, 1]], np.uint8), (4, 6))
    assert (answer.picture.mode, answer.picture.size) == (mode, (4, 6))
    assert answer.picture.getpixel((0, 5)) == colour and answer.picture.getpixel((1, 2)) != colour
    assert answer.fields == {"shares": {"a": 0.25, "b": 0.75}}


@pytest.mark.parametrize(("targets", "expected"), [
    (torch.tensor([0, 0, 0, 1]), [4 / 6, 2.0]),
    (torch.tensor([[[0, 0], [0, 1]], [[IGNORED, 0], [0, 0]]], dtype=torch.uint8), [7 / 12, 3.5]),
], ids=["classes", "masks"])  # fmt: skip
def test_balanced_weights_give_all_classes_the_same_part(targets, expected):
    pool = DeviceImages(torch.zeros(len(targets), 1, 2, 2, dtype=torch.uint8), targets)
    config = TrialConfig(class_weights="balanced")
    assert class_weights(config, pool, 2).tolist() == pytest.approx(expected)
    assert class_weights(TrialConfig(), pool, 2) is None and class_weights(config, None, 2) is None


def test_class_weights_are_in_the_training_loss_alone():
    logits, labels = torch.randn(6, 2), torch.tensor([0, 0, 0, 0, 0, 1])
    plain, weighted = Classification(("a", "b")), Classification(("a", "b"), weights=torch.tensor([0.6, 3.0]))
    losses = F.cross_entropy(logits, labels, reduction="none")
    assert weighted.loss(logits, labels).item() == pytest.approx(((0.6 * losses[:5]).sum() + 3 * losses[5]).item() / 6)
    assert torch.equal(plain.measure(logits, labels), weighted.measure(logits, labels))
    assert torch.equal(plain.loss(logits, labels), F.cross_entropy(logits, labels))


def test_weights_change_what_is_learnt():
    """One image in ten is of the second class, and nothing tells it apart: balanced, it is expected half the time."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 1, 16, 16), dtype=np.uint8)
    images = Images(pixels, (np.arange(200) % 10 == 0).astype(np.int64))
    data = TrialData(images, images, Target("classification", ("many", "few")), 16, 1, key="uneven")
    settings = {"architecture": "conv3_fc2", "image_size": 16, "epochs": 3, "batch_size": 50, "precision": "fp32"}
    expected = {}
    for weights in ("none", "balanced"):
        config = TrialConfig(**settings, class_weights=weights)
        *_, last = fit(config, data)
        expected[weights] = predict(last.model.eval(), make_task(data.target, config), pixels)[:, 1].mean()
    assert expected["none"] < 0.3 < expected["balanced"]


# Augmentation and streams

@pytest.mark.parametrize("task", ["landmarks", "segmentation"])
def test_augmented_training_repeats_itself_wherever_the_images_are(task, tmp_path):
    root = write_points(tmp_path / "data") if task == "landmarks" else write_masks(tmp_path / "data")
    written = points_data(root) if task == "landmarks" else masks_data(root)
    architecture = "simple_cnn" if task == "landmarks" else "unet_small"
    space = load_space(write_task_space(tmp_path / "x.yaml", written, "loss", architecture, 2))
    catalog = scan(space.data)
    parts = split(catalog, 0.2, 0.2, 0)
    config = TrialConfig(architecture=architecture, image_size=16, epochs=2, batch_size=8, precision="fp32", horizontal_flip=0.5,
                         rotation=20, shift=0.1, scale=0.1)
    found = []
    for limit in (None, 0, 0):  # in memory, written to files, read from files
        forget()
        data = trial_data(catalog, parts, [16], tmp_path / "cache", limit)[16]
        found.append([(epoch.train_loss, epoch.val_loss) for epoch in fit(config, data)])
    assert found[0] == found[1] == found[2]
    assert found[0][0][0] != found[0][1][0]


def test_a_validation_without_any_point_is_not_finite():
    images = Images(np.zeros((8, 1, 16, 16), np.uint8), np.full((8, 1, 2), np.nan, np.float32))
    data = TrialData(images, images, Target("landmarks", ("0",)), 16, 1, key="no-points")
    with pytest.raises(NotFinite):
        next(fit(TrialConfig(architecture="simple_cnn", image_size=16, batch_size=4), data))


# The sealed score

def test_rows_of_a_group_are_drawn_together():
    rows = np.array([[1.0, 1.0], [1.0, 3.0], [1.0, 5.0]])
    assert by_group(rows, ["b", "a", "b"]).tolist() == [[1, 3], [2, 6]]
    sums = np.array(resampled(rows))
    assert sums.shape == (1000, 2) and set(sums[:, 0]) == {3}
    assert sums[:, 1].mean() / 3 == pytest.approx(3, abs=0.1)


def test_copies_in_groups_do_not_narrow_the_interval():
    """Ten copies of each row tell nothing more than the row; the interval over rows forgets that."""
    task = Landmarks(("0",), 10)
    truth, outputs = 9 * torch.rand(30, 1, 2), torch.zeros(30, 2)
    rows = np.stack([task.measure(outputs[row][None], truth[row][None]).numpy() for row in range(30)])
    groups = [str(row) for row in range(30)] * 10

    def width(*arguments) -> float:
        _, (low, high), _ = sealed_score(task, *arguments, "pixel_distance", itemgetter("pixel_distance"))
        return high - low

    alone, grouped, rowwise = width(rows, None), width(np.tile(rows, (10, 1)), groups), width(np.tile(rows, (10, 1)), None)
    assert grouped == pytest.approx(alone, rel=0.2) and rowwise < alone / 2


# At the door

@pytest.mark.parametrize(("override", "expected"), [
    ("space.architecture=unet_small", "unet_small gives a map for each image, and the task needs numbers for each image"),
    ("objective.metric=mean_iou", "mean_iou is no metric of classification; give one of accuracy, balanced_accuracy"),
], ids=["network", "metric"])  # fmt: skip
def test_what_does_not_fit_classification(tmp_path, images, override, expected):
    with pytest.raises(SpaceError, match=expected):
        make_plan(load_space(write_space(tmp_path / "x.yaml", images), [override]))


@pytest.mark.parametrize(("override", "expected"), [
    ("space.architecture=unet_small", "unet_small gives a map for each image, and the task needs numbers"),
    ("space.label_smoothing=0.1", "space.label_smoothing: landmarks does not use it; remove it"),
    ("objective.metric=accuracy", "accuracy is no metric of landmarks; give one of pixel_distance, pixel_diff"),
], ids=["network", "setting", "metric"])  # fmt: skip
def test_what_does_not_fit_landmarks(landmarks, tmp_path, override, expected):
    file = write_task_space(tmp_path / "x.yaml", points_data(landmarks[0]), "pixel_diff", "simple_cnn", 2)
    with pytest.raises(SpaceError, match=expected):
        make_plan(load_space(file, [override]))


def test_what_does_not_fit_segmentation(segmentation, tmp_path):
    file = write_task_space(tmp_path / "x.yaml", masks_data(segmentation[0]), "mean_iou", "resnet18", 2)
    with pytest.raises(SpaceError, match="resnet18 gives numbers for each image, and the task needs a map for each image"):
        make_plan(load_space(file))


def test_pixels_of_several_image_sizes_are_advised_against(landmarks, tmp_path):
    file = write_task_space(tmp_path / "x.yaml", points_data(landmarks[0]), "pixel_diff", "simple_cnn", 2)
    assert load_space(file).warnings == ()
    [warning] = load_space(file, ["space.image_size={choice: [16, 32]}"]).warnings
    assert "pixel_diff counts pixels of each trial's own image_size" in warning and "give normalised_diff" in warning
    assert load_space(file, ["space.image_size={choice: [16, 32]}", "objective.metric=normalised_diff"]).warnings == ()


@pytest.mark.parametrize("metric", ["mean_iou", "pixel_accuracy"])
def test_masks_of_several_image_sizes_are_advised_against(segmentation, tmp_path, metric):
    file = write_task_space(tmp_path / "x.yaml", masks_data(segmentation[0]), metric, "unet_small", 2)
    assert load_space(file).warnings == ()
    [warning] = load_space(file, ["space.image_size={choice: [16, 32]}"]).warnings
    assert f"x.yaml:3: objective.metric: {metric} is of masks resized to each trial's own image_size" in warning
    assert load_space(file, ["space.image_size={choice: [16, 32]}", "objective.metric=loss"]).warnings == ()


def test_check_shows_points_and_masks(landmarks, segmentation, tmp_path, capsys):
    file = write_task_space(tmp_path / "a.yaml", points_data(landmarks[0]), "pixel_diff", "simple_cnn", 2)
    assert cli.main(["check", str(file)]) == 0
    assert "points    2, 12 of 120 missing" in capsys.readouterr().out
    file = write_task_space(tmp_path / "b.yaml", masks_data(segmentation[0]), "mean_iou", "unet_small", 2)
    assert cli.main(["check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["classes"] == {"nothing": 60, "square": 40}


def test_data_of_one_task_is_refused_where_another_is_asked(tmp_path):
    with pytest.raises(ValueError, match="elpv has no data for landmarks; choose among csv"):
        DataConfig(task="landmarks", source="elpv")
