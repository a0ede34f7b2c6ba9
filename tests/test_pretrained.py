"""Starting from trained weights: published ones from a local cache, or a file; never from the network in these tests."""

from __future__ import annotations

import hashlib
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from search.errors import SpaceError
from search.plan import decode, make_plan
from search.space import load_space
from tests.conftest import write_space
from tests.test_models import make_config, make_data
from trainables.card import Card, write_model
from trainables.errors import BadInput
from trainables.files import digest
from trainables.fit import fit, new_model
from trainables.models import MODELS, build, published
from trainables.models.count import network_of
from trainables.models.pretrained import fitted, modern, read_weights, resized_positions, starting_weights
from trainables.tasks import Target
from trainables.trial import save

torchvision = pytest.importorskip("torchvision")
CPU = torch.device("cpu")
URL = published.URL


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """An empty cache of torchvision's, and an address at which nobody answers in place of the publisher's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(published, "URL", nobody)
    torch.manual_seed(0)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def publish(home, monkeypatch) -> Callable[..., dict[str, torch.Tensor]]:
    """A function that writes to torchvision's cache what it would publish for a network: random weights in its own form."""

    def write(name: str, *others: str) -> dict[str, torch.Tensor]:
        weights = getattr(torchvision.models, name)().state_dict()
        home.mkdir(parents=True)
        torch.save(weights, home / "part")
        file = (home / "part").rename(home / f"{name}-{digest(home / 'part')[:8]}.pth")
        for published_as in (name, *others):
            monkeypatch.setitem(published.PUBLISHED, published_as, file.name)
        return weights

    return write


def test_the_table_is_torchvisions():
    names = {"alexnet_fcn": "alexnet", "shufflenet_slim": "shufflenet_v2_x0_5"}
    for ours, file in published.PUBLISHED.items():
        weights = torchvision.models.get_model_weights(names.get(ours, ours)).DEFAULT
        assert weights.url == URL + file
    own = {"alexnet_small", "conv3_fc2", "simple_cnn", "unet_small", "vit_tiny"}
    assert set(published.PUBLISHED) == set(MODELS) - own


def test_the_cache_is_torchvisions():
    assert published.cache() == Path(torch.hub.get_dir()) / "checkpoints"


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_but_the_head_comes_from_the_published_file(name, channels, publish):
    theirs = publish(name)
    config = make_config(architecture=name, pretrained=True, image_size=32)
    found = starting_weights(config, channels, 4)
    fresh = set(build(name, channels=channels, outputs=4, size=32).state_dict()) - set(found)
    assert {key.rpartition(".")[2] for key in fresh} == {"weight", "bias"} and len(fresh) == 2
    stem, *others = found
    assert all(torch.equal(found[key], theirs[key]) for key in others)
    expected = theirs[stem] if channels == 3 else theirs[stem].sum(1, keepdim=True)
    torch.testing.assert_close(found[stem], expected)


def test_it_trains_on_from_there(publish):
    theirs = publish("shufflenet_v2_x0_5", "shufflenet_slim")
    config = make_config(architecture="shufflenet_slim", pretrained=True, image_size=32, learning_rate=1e-30)
    (epoch,) = fit(config, make_data(32))
    assert torch.equal(epoch.model.network.stage4[0].branch1[2].weight, theirs["stage4.0.branch1.2.weight"])


def test_a_grown_file_of_ones_own(tmp_path):
    """What a search exported starts the next one, on the same classes with its head, on others without."""
    first = make_config(architecture="conv3_fc2", image_size=16, seed=5)
    trained = new_model(first, make_data(16), 12, CPU)
    save(tmp_path / "last.safetensors", trained)
    card = Card("conv3_fc2", 1, 16, Target("classification", ("a", "b")), 0.0, {})
    write_model(tmp_path / "model", tmp_path / "last.safetensors", card)
    config = make_config(architecture="conv3_fc2", image_size=16, pretrained=True,
                         weights=str(tmp_path / "model" / "model.safetensors"))
    same, other = starting_weights(config, 1, 2), starting_weights(config, 1, 3)
    assert same.keys() == trained.network.state_dict().keys()
    assert same.keys() - other.keys() == {"17.weight", "17.bias"}


@pytest.mark.parametrize("name, size", [("vgg16", 64), ("vgg19", 224), ("resnet50", 64), ("densenet121", 64)])
def test_large_ones_fit_by_shape(name, size):
    theirs = network_of(name, 3, 1000, 224).state_dict()
    ours = network_of(name, 1, 7, size).state_dict()
    head = {key for key in ours if ours[key].shape[:1] == (7,)}
    found = fitted(ours, modern(theirs), head, Path("file.pth"), name)
    assert ours.keys() - found.keys() == head and len(head) == 2


def test_early_names_of_densenet_and_missing_counters():
    early = {"features.denseblock1.denselayer2.norm.1.weight": 1, "features.norm5.weight": 2}
    assert list(modern(early)) == ["features.denseblock1.denselayer2.norm1.weight", "features.norm5.weight"]
    layer = nn.BatchNorm2d(3).state_dict()
    given = {key: tensor for key, tensor in layer.items() if key != "num_batches_tracked"}
    assert fitted(layer, given, set(), Path("file.pth"), "densenet121") == given


def test_positions_of_vit_follow_the_image_size():
    theirs = network_of("vit_b_16", 3, 1000, 224).state_dict()
    theirs["encoder.pos_embedding"] = torch.linspace(0, 1, 14).repeat_interleave(14).repeat(768, 1).T[None]
    theirs["encoder.pos_embedding"] = torch.cat([torch.full((1, 1, 768), 9.0), theirs["encoder.pos_embedding"]], 1)
    ours = network_of("vit_b_16", 3, 1000, 64).state_dict()
    found = fitted(ours, theirs, set(), Path("file.pth"), "vit_b_16")["encoder.pos_embedding"]
    assert found.shape == (1, 17, 768) and (found[:, 0] == 9).all()
    rows = found[0, 1:, 0].view(4, 4)
    assert (rows.diff(dim=0) > 0).all() and rows.diff(dim=1).abs().max() < 1e-6
    assert resized_positions(torch.rand(1, 16, 8), 64).shape == (1, 64, 8)


def test_offline_is_one_line(home):
    with pytest.raises(BadInput) as caught:
        starting_weights(make_config(architecture="resnet18", pretrained=True), 1, 2)
    url = f"{published.URL}resnet18-f37072fd.pth"
    expected = f"the weights of resnet18 are not in {home} and cannot be downloaded ([Errno 111] Connection refused); "
    assert str(caught.value) == expected + f"bring {url} there, or name a file as weights"
    assert caught.value.key == "space.pretrained" and not home.exists()


def test_downloads_are_held_against_their_name(home, tmp_path, monkeypatch):
    content = b"weights"
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / name).write_bytes(content)
    (tmp_path / "net-00000000.pth").write_bytes(content)
    monkeypatch.setattr(published, "URL", tmp_path.as_uri() + "/")
    monkeypatch.setitem(published.PUBLISHED, "right", name)
    monkeypatch.setitem(published.PUBLISHED, "wrong", "net-00000000.pth")
    assert published.fetch("right").read_bytes() == content and published.fetch("right").parent == home
    with pytest.raises(BadInput, match="the content is not that of the name"):
        published.fetch("wrong")
    assert [path.name for path in home.iterdir()] == [name]


def test_what_is_in_the_cache_is_held_against_its_name_too(home, publish, monkeypatch):
    theirs, config = publish("squeezenet1_1"), make_config(architecture="squeezenet1_1", pretrained=True)
    path = home / published.PUBLISHED["squeezenet1_1"]
    looked_at = []
    monkeypatch.setattr(published, "digest", lambda path: looked_at.append(path) or digest(path))
    assert published.fetch("squeezenet1_1") == published.fetch("squeezenet1_1") == path
    assert looked_at == [path]  # once a process, until it changes
    torch.save({key: tensor + 1 for key, tensor in theirs.items()}, path)
    with pytest.raises(BadInput, match="not the file that was published, by its sha256; delete it, so that it is fetched again") \
            as caught:
        starting_weights(config, 1, 2)
    assert (caught.value.file, caught.value.key) == (str(path), "space.pretrained")


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harm"),)


@pytest.mark.parametrize("content, expected", [
    (b"", "cannot be read as weights alone"),
    (b"<html>", "cannot be read as weights alone"),
    (pickle.dumps(Harmful()), "cannot be read as weights alone"),
    ([1, 2], "holds no state_dict"),
    ({"a": 1}, "holds no state_dict"),
], ids=["empty", "page", "code", "list", "numbers"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*weights_only:UserWarning")
def test_files_that_are_no_weights(content, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(BadInput, match=expected) as caught:
        read_weights(path)
    assert caught.value.file == str(path) and not Path("harm").exists()


def test_files_of_another_network_or_size(tmp_path):
    torch.save(build("conv3_fc2", channels=1, outputs=2, size=32).state_dict(), tmp_path / "net.pth")
    config = {"pretrained": True, "weights": str(tmp_path / "net.pth")}
    with pytest.raises(BadInput, match="net.pth is not of resnet18, it has no 'conv1.weight'; give a file of that network"):
        starting_weights(make_config(architecture="resnet18", **config), 1, 2)
    with pytest.raises(BadInput, match=r"does not fit conv3_fc2, its '14.weight' is \(256, 2048\) and not \(256, 8192\)"):
        starting_weights(make_config(architecture="conv3_fc2", image_size=64, **config), 1, 2)


SPACES = {
    "nothing published": (
        ["space.pretrained=true", "space.architecture={choice: [resnet18, simple_cnn]}"],
        "space.pretrained: there are no published weights of simple_cnn; name a file as weights, or choose among alexnet_fcn,"),
    "no file": (
        ["space.pretrained={choice: [true, false]}", "space.weights=nothing.pth"],
        "space.weights: 'nothing.pth': no such file in"),
    "never read": (
        ["space.weights=nothing.pth"], "space.weights: nothing starts from this file while pretrained is false"),
}  # fmt: skip


@pytest.mark.parametrize("overrides, expected", SPACES.values(), ids=SPACES)
def test_spaces_are_refused_at_the_door(overrides, expected, tmp_path, images):
    space = load_space(write_space(tmp_path / "start.yaml", images), overrides)
    with pytest.raises(SpaceError) as caught:
        make_plan(space)
    assert expected in str(caught.value)


def test_a_run_finds_out_before_it_starts_workers(tmp_path, images, publish):
    overrides = ["space.pretrained={choice: [true, false]}", "space.architecture={choice: [mobilenet_v3_small, resnet18]}"]
    space = load_space(write_space(tmp_path / "start.yaml", images), overrides)
    publish("mobilenet_v3_small")
    plan = make_plan(space)
    with pytest.raises(SpaceError, match="space.pretrained: the weights of resnet18 are not in"):
        decode(plan, tmp_path / "cache")


def test_a_path_means_the_same_in_a_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert make_config(pretrained=True, weights="net.pth").weights == str(tmp_path / "net.pth")
