"""Nothing let in, nothing let out: what a search listens on, whom its files are for, where a password can be read."""

from __future__ import annotations

import glob
import hashlib
import io
import ipaddress
import json
import os
import pickle
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient

from search import cli
from search.errors import EnvironmentProblem, Interrupted, SpaceError
from search.folder import check_ours, private_files
from search.loopback import place, private_folder
from search.progress import Silent
from search.record import read_record
from search.redact import redacted
from search.run import run_search
from search.space import load_space
from search.stores import default_store
from tests.conftest import free_port, write_space
from tests.data_files import png_of_size
from tests.test_bad_inputs import trained
from tests.test_cli import ROOT, call
from tests.test_status import write_record
from trainables.errors import NotFinite
from trainables.trial import save

CANARY = "cAnArY-0451"
URI = f"http://user:{CANARY}@tracking.invalid"


def family(root: int) -> set[int]:
    """Return the process ``root`` and all that descend from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    found, before = {root}, set()
    while found != before:
        before, found = found, found | {child for child, parent in parents.items() if parent in found}
    return found


def sockets(process: int) -> Iterator[str]:
    """Yield the inodes of a process's sockets."""
    for file in Path(f"/proc/{process}/fd").glob("*"):
        try:
            yield from re.findall(r"socket:\[(\d+)\]", os.readlink(file))
        except OSError:
            continue  # closed meanwhile


def listening(processes: set[int]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses that some processes listen on over TCP, as the kernel lists them."""
    inodes = {inode for process in processes for inode in sockets(process)}
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]]
    words = [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes]
    return [address(bytes.fromhex(word)) for word in words]


def address(stored: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address of /proc/net, which stores it in words of the host's byte order."""
    found = ipaddress.ip_address(b"".join(stored[start : start + 4][::-1] for start in range(0, len(stored), 4)))
    return getattr(found, "ipv4_mapped", None) or found


def holding(folder: Path, secret: str) -> list[str]:
    """Return the files below a folder that hold ``secret``."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if secret.encode() in path.read_bytes()]


class Spy(Silent):
    """Looks round as each trial ends, while Ray still runs."""

    def __init__(self) -> None:
        self.addresses: list[object] = []
        self.found: list[str] = []
        self.modes: set[int] = set()
        self.strangers = self.token = ""

    def end(self, trial: object) -> None:
        self.addresses = listening(family(os.getpid()))
        # not by Path, which minds that another search's folder vanishes meanwhile
        [session] = map(Path, glob.glob(f"{tempfile.gettempdir()}/search-*/ray/session_*_{os.getpid()}"))
        self.modes.add(session.parents[1].stat().st_mode & 0o777)
        self.token = os.environ["RAY_AUTH_TOKEN"]
        self.found += holding(session, CANARY) + holding(session, self.token)
        if not self.strangers:
            [port] = session.glob("gcs_server_port_*")
            self.strangers = without_a_token(port.read_text())


def test_what_a_killed_process_left_of_ray_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "search-mine").mkdir()
    code = "import sys; from pathlib import Path; from search.loopback import private_folder as folder\n" \
           "with folder(Path(sys.argv[1])) as place: print(place, flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    theirs = Path(process.stdout.readline().strip())
    with private_folder(tmp_path) as ours:
        assert theirs.is_dir() and Path(ours).stat().st_mode & 0o777 == 0o700
    process.kill()
    process.communicate()
    assert theirs.is_dir()
    with private_folder(tmp_path):
        assert not theirs.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["search-mine"]


def test_where_rays_sockets_would_have_too_long_a_name_they_are_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 60)))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert place() == Path("/tmp")
    for folder in (tmp_path / ("x" * 60), Path("/nowhere")):
        monkeypatch.setenv("RAY_TMPDIR", str(folder))
        with pytest.raises(EnvironmentProblem, match=f"RAY_TMPDIR: Ray cannot have its files in '{folder}'; give a folder that"):
            place()


def without_a_token(port: str) -> str:
    """Return what Ray's state says to somebody on this machine who has no token."""
    code = f"from ray._raylet import GcsClient; print(GcsClient(address='127.0.0.1:{port}').internal_kv_keys(b'', None))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    stranger = {**environment, "HOME": "/nonexistent", "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run([sys.executable, "-c", code], env=stranger, capture_output=True, text=True, timeout=60)
    return f"{done.returncode} {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def spied(tmp_path_factory, images) -> tuple[Path, Spy]:
    """A search whose space file and command line name a password, recorded elsewhere; its results and what was seen."""
    folder = tmp_path_factory.mktemp("spied")
    text = write_space(folder / "tiny.yaml", images, trials=2, epochs=1).read_text()
    (folder / "tiny.yaml").write_text(f"{text}tracking: {{uri: '{URI}'}}\n")
    spy, results = Spy(), folder / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["search", "run", "--tracking-uri", URI])
        patch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # of a cluster that nobody asked for
        run_search(load_space(folder / "tiny.yaml", [f"tracking.uri={URI}"]), results=results, progress=spy,
                   tracking=f"sqlite:///{results / 'mlflow.db'}")
    return results, spy


class TestASearch:
    def test_listens_on_loopback_alone(self, spied):
        _, spy = spied
        assert len(spy.addresses) >= 5 and all(address.is_loopback for address in spy.addresses)

    def test_answers_nobody_without_the_token(self, spied):
        _, spy = spied
        assert spy.strangers.startswith("1 ") and "Unauthenticated: RPC error: InvalidAuthToken" in spy.strangers

    def test_keeps_its_session_to_this_user_and_removes_it(self, spied):
        _, spy = spied
        assert spy.modes == {0o700}
        assert not list(Path(tempfile.gettempdir()).glob(f"search-*/ray/session_*_{os.getpid()}"))

    def test_writes_files_for_this_user_alone(self, spied):
        results, _ = spied
        open_to_others = [path for path in results.rglob("*") if path.stat().st_mode & 0o077]
        assert results.stat().st_mode & 0o077 == 0
        assert all("artifacts" in path.parts for path in open_to_others)  # which MLflow copies with the mode of the code

    def test_stores_no_password_and_no_token(self, spied):
        results, spy = spied
        assert spy.found == []
        assert spy.token and holding(results, CANARY) == [] and holding(results, spy.token) == []
        assert os.environ.get("RAY_AUTH_TOKEN") != spy.token, "afterwards the environment is as it was"
        assert len(holding(results, "user:***@tracking.invalid")) >= 3  # the space as written and as used, and the command

    def test_registers_a_model_without_a_pickle(self, spied):
        results, _ = spied
        names = {path.name for path in (results / "artifacts").rglob("*") if path.is_file()}
        assert {"MLmodel", "model.safetensors", "model.json"} <= names
        assert not {name for name in names if name.endswith((".pkl", ".pt", ".pth", ".joblib"))}


@pytest.mark.slow
def test_a_servers_password_is_nowhere(tmp_path, space_file):
    """The whole command against MLflow's real server."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path / 'server' / 'mlflow.db'}",
               "--artifacts-destination", str(tmp_path / "server" / "artifacts"), "--port", str(port), "--workers", "1"]
    (tmp_path / "server").mkdir()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as server:
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            uri = f"http://user:{CANARY}@127.0.0.1:{port}"
            words = ["run", str(space_file), "--results", str(tmp_path / "results"), "--tracking-uri", uri, "--trials", "2"]
            done = subprocess.run([sys.executable, "-m", "search", *words], cwd=ROOT, capture_output=True, text=True)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert holding(tmp_path / "results", CANARY) == [] and holding(tmp_path / "server", CANARY) == []
    assert holding(tmp_path / "server", f"user:***@127.0.0.1:{port}")


REDACTED = {
    "user": ("http://user:secret@host:5000/x", "http://user:***@host:5000/x"),
    "odd characters": ("postgresql://user:a:b@c/d@host/db", "postgresql://user:***@host/db"),
    "no user": ("redis://:secret@host", "redis://:***@host"),
    "query": ("mssql://host/db?user=me&password=secret&x=1", "mssql://host/db?user=me&password=***&x=1"),
    "ODBC": ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dsecret&x=1", "mssql+pyodbc:///?odbc_connect=***&x=1"),
    "in a text": ("a: {uri: 'http://u:secret@h'} # me@home", "a: {uri: 'http://u:***@h'} # me@home"),
    "twice": ("http://u:secret@h http://v:secret@i", "http://u:***@h http://v:***@i"),
    "quote": ("postgresql://me:pa'ss@host/db", "postgresql://me:***@host/db"),
    "quotes": ("""'postgresql://me:'pa"s's"@host/db'""", "'postgresql://me:***@host/db'"),
    "quote before a comma": ('"postgresql://me:pa\',ss@host/db"', '"postgresql://me:***@host/db"'),
    "quote and @": ("postgresql://me:p'a@s's@host/db", "postgresql://me:***@host/db"),
    "backslash": (r"postgresql://me:pa\ss\@host/db", "postgresql://me:***@host/db"),
    "escaped": (json.dumps({"uri": 'http://u:pa"ss@h'}), '{"uri": "http://u:***@h"}'),
    "angles": ("<http://me:pa<s>s@host/db>", "<http://me:***@host/db>"),
    "slashes": ("http://me:pa://ss@host/db", "http://me:***@host/db"),
    "quote in the user": ("http://o'brien:secret@host", "http://o'brien:***@host"),
    "quote in the query": ("mssql://host/db?password=pa'ss\"word&x='1'", "mssql://host/db?password=***&x='1'"),
    "end of a quoted query": ("{uri: 'mssql://host/db?password=secret'}.", "{uri: 'mssql://host/db?password=***'}."),
    "several on a line": ("""['http://u:a"b@h','http://v:c'd@i',"http://j:5000"] of me@home""",
                          """['http://u:***@h','http://v:***@i',"http://j:5000"] of me@home"""),
    "several without quotes": ("http://u:a@h,http://v:b@i", "http://u:***@h,http://v:***@i"),
    "JSON without spaces": ('{"a":"http://u:a@h","b":"x@y","c":"http://h:5000","d":"x@y"}',
                            '{"a":"http://u:***@h","b":"x@y","c":"http://h:5000","d":"x@y"}'),
    "a port and a path": ("{'http://h:5000/#/runs','me@home'}", "{'http://h:5000/#/runs','me@home'}"),
    "none": ("sqlite:////home/me@work/mlflow.db http://host:5000", "sqlite:////home/me@work/mlflow.db http://host:5000"),
}


@pytest.mark.parametrize(("text", "expected"), REDACTED.values(), ids=REDACTED)
def test_passwords_are_left_out(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--set", f"tracking.uri=ftp://user:{CANARY}@host"], id="override"),
        pytest.param(["--set", f"tracking.url=http://user:{CANARY}@host"], id="unknown key"),
        pytest.param(["--tracking-uri", f"ftp://user:{CANARY}@host"], id="option"),
        pytest.param(["--tracking-url", f"http://user:{CANARY}@host"], id="unknown option"),
    ],
)
def test_a_mistake_does_not_print_the_password(words, space_file, tmp_path, capsys):
    status, out, err = call("run", str(space_file), "--results", str(tmp_path / "results"), *words, capsys=capsys)
    assert status == 2 and "user:***@host" in err and CANARY not in out + err


@pytest.mark.parametrize("words", [["--tracking-uri", "{}"], ["--set", "tracking.uri={}"]], ids=["option", "override"])
@pytest.mark.parametrize("uri", ["http://user:a {}@host:1", "postgresql+psycopg2://user:a/b {}@host/db"])
def test_a_password_with_a_blank_is_refused_and_not_shown(words, uri, space_file, tmp_path, capsys):
    words = [word.format(uri.format(CANARY)) for word in words]
    status, out, err = call("run", str(space_file), "--results", str(tmp_path / "results"), *words, capsys=capsys)
    assert status == 2 and "there is a blank in it, which no URI has; write it as %20" in err and CANARY not in out + err
    assert not (tmp_path / "results").exists()


def owned_by_another(folder: Path) -> Path:
    if os.geteuid() != 0:
        return Path("/usr")
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    return folder


COMMANDS = [["run", "SPACE"], ["resume", "tiny"], ["finish", "tiny"], ["replay", "tiny", "0"], ["status", "tiny"], ["best"],
            ["list"], ["report", "tiny"], ["predict", "tiny", "IMAGE"], ["ui"]]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_results_folder_of_somebody_else_is_refused(words, tmp_path, space_file, images, capsys):
    results = owned_by_another(tmp_path / "results")
    names = {"SPACE": str(space_file), "IMAGE": str(images / "left" / "00.png")}
    status, _, err = call(*[names.get(word, word) for word in words], "--results", str(results), capsys=capsys)
    assert status == 2 and "belongs to another user (uid " in err and err.count("\n") == 1
    assert not any(results.glob("tiny"))


def test_a_search_that_somebody_else_put_there_is_refused(tmp_path, capsys):
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "search.json").write_text("{}")
    (tmp_path / "planted").chmod(0o707)
    status, _, err = call("list", "--results", str(tmp_path), capsys=capsys)
    assert status == 2 and "planted: may be written by everybody; `chmod o-w` it" in err


def test_a_folder_of_ones_own_is_fine(tmp_path):
    check_ours(tmp_path)
    check_ours(tmp_path / "not there yet")
    tmp_path.chmod(0o702)
    with pytest.raises(SpaceError, match="may be written by everybody"):
        check_ours(tmp_path)


def test_files_are_private_only_inside(tmp_path):
    before = os.umask(0o022)
    try:
        with private_files():
            (tmp_path / "mine").touch()
        (tmp_path / "ours").touch()
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("mine", "ours")] == [0o600, 0o644]


class Harmful:
    """A pickle of it makes the folder ``marker`` when it is loaded."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


def space_with_a_tag(folder: Path, images: Path, marker: Path) -> list[str]:
    (folder / "evil.yaml").write_text(f"name: !!python/object/apply:os.mkdir ['{marker}']\n")
    return ["run", str(folder / "evil.yaml")]


def weights_of(name: str, content: Callable[[Path], bytes]) -> Callable[[Path, Path, Path], list[str]]:
    def make(folder: Path, images: Path, marker: Path) -> list[str]:
        (folder / name).write_bytes(content(marker))
        words = ["--set", "space.pretrained=true", "--set", f"space.weights={folder / name}"]
        return ["run", str(write_space(folder / "tiny.yaml", images)), *words]

    return make


def zipped(marker: Path) -> bytes:
    """An archive such as torch.save and torch.export.save write, with a pickle that does harm."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Harmful(marker)))
        archive.writestr("archive/version", "3\n")
        archive.writestr("serialized_state_dict.pt", pickle.dumps(Harmful(marker)))
    return stream.getvalue()


def tensors(header: bytes, length: int | None = None) -> bytes:
    """A safetensors file: the length of its header in 8 bytes, and the header."""
    return struct.pack("<Q", len(header) if length is None else length) + header


def model_of(content: Callable[[Path], bytes], **fields: object) -> Callable[[Path, Path, Path], list[str]]:
    """A search whose model was replaced by whoever could also write its sha256."""

    def make(folder: Path, images: Path, marker: Path) -> list[str]:
        model = shutil.copytree(trained(images), folder / "results" / "tiny") / "model"
        weights = content(marker) or (model / "model.safetensors").read_bytes()
        card = {**json.loads((model / "model.json").read_text()), "sha256": hashlib.sha256(weights).hexdigest(), **fields}
        (model / "model.json").write_text(json.dumps(card))
        (model / "model.safetensors").write_bytes(weights)
        (model / "evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\ndef build(**words): ...\n")
        return ["predict", "tiny", str(images / "left" / "00.png")]

    return make


def image_of(content: bytes) -> Callable[[Path, Path, Path], list[str]]:
    def make(folder: Path, images: Path, marker: Path) -> list[str]:
        shutil.copytree(images, folder / "odd")
        (folder / "odd" / "left" / "evil.png").write_bytes(content)
        return ["run", str(write_space(folder / "tiny.yaml", folder / "odd"))]

    return make


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_text(megabytes: int) -> bytes:
    """A PNG of one pixel whose compressed text is of so many megabytes."""
    text = b"Comment\0\0" + zlib.compress(bytes(megabytes * 2**20), 9)
    head, rest = (png := png_of_size(1, 1))[:33], png[33:]
    return head + chunk(b"zTXt", text) + rest


HUGE = json.dumps({"network.0.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
NO_WEIGHTS, NO_MODEL = "cannot be read as weights alone", "the weights are not those of the network in model.json"
CRAFTED = {
    "space with a tag": (space_with_a_tag, "tag 'tag:yaml.org,2002:python/object/apply:os.mkdir'; remove it"),
    "pickle": (weights_of("start.pth", lambda marker: pickle.dumps(Harmful(marker))), NO_WEIGHTS),
    "checkpoint": (weights_of("start.pt", zipped), NO_WEIGHTS),
    "exported program": (weights_of("start.pt2", zipped), NO_WEIGHTS),
    "pickle called safetensors": (weights_of("start.safetensors", lambda marker: pickle.dumps(Harmful(marker))), NO_WEIGHTS),
    "header of a terabyte": (weights_of("start.safetensors", lambda marker: tensors(b"{}", 2**40)), NO_WEIGHTS),
    "tensor of a terabyte": (weights_of("start.safetensors", lambda marker: tensors(HUGE)), NO_WEIGHTS),
    "pickle for a model": (model_of(lambda marker: pickle.dumps(Harmful(marker))), NO_MODEL),
    "model with a header of a terabyte": (model_of(lambda marker: tensors(b"{}", 2**40)), NO_MODEL),
    "model with a tensor of a terabyte": (model_of(lambda marker: tensors(HUGE)), NO_MODEL),
    "model of no tensors": (model_of(lambda marker: tensors(b"{}")), NO_MODEL),
    "another sha256": (model_of(lambda marker: b"", sha256="0" * 64), "not those that were written, by their sha256"),
    "code beside the model": (model_of(lambda marker: b"", architecture="evil:build"), "there is no module 'evil'; put evil.py"),
    "text of an image": (image_of(with_text(200)), "1 image of 61 cannot be read, first left/evil.png: "),
}  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), CRAFTED.values(), ids=CRAFTED)
@pytest.mark.filterwarnings("ignore:.*weights_only:UserWarning")
def test_crafted_files_run_nothing(make, expected, tmp_path, images, capsys, monkeypatch):
    marker = tmp_path / "marker"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    words = make(tmp_path, images, marker)
    status, _, err = call(*words, "--results", str(tmp_path / "results"), capsys=capsys)
    assert (status, err.count("\n")) == (2, 1) and expected in err
    assert not marker.exists()


HARMFUL = """\
from pathlib import Path
from trainables.models.simple_cnn import build
Path("marker").touch()
"""
REFUSED = "it needs code of its own, {}, which is run only for a search of --results; give its NAME\n"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current directory with a network in it, in `theirs.py`, whose import leaves a file `marker`."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("theirs.py").write_text(HARMFUL)
    yield tmp_path / "here"
    sys.modules.pop("theirs", None)


def model_with_code(folder: Path, images: Path, architecture: str) -> Path:
    """Make a model folder whose card names a network that is not built in."""
    shutil.copytree(trained(images) / "model", folder)
    card = {**json.loads((folder / "model.json").read_text()), "architecture": architecture}
    (folder / "model.json").write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize("architecture", ["theirs:build", "this:x", "subprocess:run"])
@pytest.mark.parametrize("file", ["", "model.json", "model.safetensors"], ids=["folder", "card", "weights"])
def test_a_model_brings_no_code(architecture, file, here, images, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    place = model_with_code(here / "given", images, architecture) / file
    shutil.copytree(trained(images), here / "results" / "given")  # a search of that name has another network
    status, out, err = call("predict", str(place), str(images / "left" / "00.png"), "--results", "results", capsys=capsys)
    assert (status, out, err) == (2, "", f"search: error: {place}: {REFUSED.format(architecture)}")
    assert not Path("marker").exists() and not {"theirs", "this"} & sys.modules.keys()


def test_the_network_of_a_search_here_is_run_wherever_its_model_is_named(here, images, capsys):
    model = model_with_code(here / "results" / "tiny" / "model", images, "theirs:build")
    (here / "results" / "tiny" / "search.json").write_text('{"name": "tiny", "state": "complete"}')
    for word in ("tiny", str(model), "results/tiny/model/model.json"):
        status, out, _ = call("predict", word, str(images / "left" / "00.png"), "--results", "results", capsys=capsys)
        assert status == 0 and "00.png: left " in out
    link = here / "link"
    link.symlink_to(model)
    assert call("predict", str(link), str(images / "left" / "00.png"), "--results", "results", capsys=capsys)[0] == 0
    status, _, err = call("predict", str(model), str(images / "left" / "00.png"), "--results", "elsewhere", capsys=capsys)
    assert status == 2 and err.endswith(REFUSED.format("theirs:build"))


@pytest.fixture(scope="module")
def registered(tmp_path_factory, images) -> tuple[Path, str]:
    """A results folder with a model in MLflow, registered as `tiny` and as `other`, that needs `theirs.py`; its model id."""
    results = tmp_path_factory.mktemp("registered")
    uri = f"sqlite:///{results / 'mlflow.db'}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("tiny", artifact_location=(results / "artifacts").as_uri())
    logged = client.create_logged_model(experiment, name="model")
    client.log_model_artifacts(logged.model_id, str(model_with_code(results / "given", images, "theirs:build")))
    client.finalize_logged_model(logged.model_id, "READY")
    for name in ("tiny", "other"):
        with default_store(uri):
            version = mlflow.register_model(f"models:/{logged.model_id}", name)
        client.set_registered_model_alias(name, "champion", version.version)
    return results, logged.model_id


@pytest.mark.parametrize(("uri", "network", "runs"), [
    ("models:/tiny@champion", "theirs:build", True),
    ("models:/tiny/1", "theirs:build", True),
    ("models:/tiny@champion", "simple_cnn", False),
    ("models:/other@champion", "theirs:build", False),
    ("models:/{id}", "theirs:build", False),
])  # fmt: skip
def test_a_registered_model_runs_the_network_of_the_search_of_its_name(uri, network, runs, registered, here, images, capsys):
    results, model_id = registered
    shutil.copytree(results, here / "results")
    model_with_code(here / "results" / "tiny" / "model", images, network)
    (here / "results" / "tiny" / "search.json").write_text('{"name": "tiny", "state": "complete"}')
    uri = uri.format(id=model_id)
    status, out, err = call("predict", uri, str(images / "left" / "00.png"), "--results", "results", capsys=capsys)
    assert Path("marker").exists() is runs is (status == 0)
    assert "00.png: left " in out if runs else err == f"search: error: {uri}: {REFUSED.format('theirs:build')}"


PLANTED = ("tiny/ray/tuner.pkl", "tiny/ray/searcher.pkl", "tiny/weights/0000.safetensors", "tiny/optuna.db", "cache/a.npy",
           "mlflow.db", "gpu_memory.json", "tiny/errors/0000.txt", "tiny/checkpoints/0004/1.json",
           "tiny/checkpoints/0004/1.safetensors", "cache/latency.json")


@pytest.fixture
def planted(tmp_path, images, space_file) -> tuple[Path, Path]:
    """A results folder in which every file that could hold a pickle is one that does harm, and what it would make."""
    results, marker = tmp_path / "results", tmp_path / "marker"
    shutil.copytree(trained(images), results / "tiny")
    write_record(tmp_path / "whole" / "tiny", space_file, problem=Interrupted(15))
    shutil.copy(tmp_path / "whole" / "tiny" / "record.jsonl", results / "tiny")
    for name in PLANTED:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_bytes(pickle.dumps(Harmful(marker)))
    (results / "tiny" / "search.json").write_text('{"name": "tiny", "state": "interrupted", "trials": {"COMPLETE": 1}}')
    return results, marker


def test_a_crafted_results_folder_runs_nothing(planted, images, capsys):
    results, marker = planted
    for words in (["list"], ["best"], ["predict", "tiny", str(images / "left" / "00.png")], ["status"], ["report"]):
        assert call(*words, "--results", str(results), capsys=capsys)[0] == 0
    for command in ("resume", "finish"):
        status, _, err = call(command, "tiny", "--results", str(results), capsys=capsys)
        assert status == 2 and "mlflow.db': it is a file of another kind" in err and err.count("\n") == 1
    assert "tiny" in (results / "tiny" / "report.html").read_text()
    assert not marker.exists()


@pytest.mark.slow
def test_a_crafted_results_folder_runs_nothing_when_it_goes_on(planted, capfd):
    """What is left of the trials is trained, none of it from the checkpoint; the weights that were planted are named."""
    results, marker = planted
    (results / "mlflow.db").unlink()
    status = cli.main(["resume", "tiny", "--results", str(results)])
    *_, last = capfd.readouterr().err.splitlines()
    assert status == 5 and "0000.safetensors: the weights are not those of the network in model.json; " in last
    assert last.endswith("or remove that file, and go on with `resume tiny`")
    assert not read_record(results / "tiny").trials.running()
    assert not marker.exists()


DEEP = b'{"a":' * 900 + b"1" + b"}" * 900
RECORDS = {  # what of a record is replaced by what
    "deep document": (b'"space": {', b'"space": {"a": ' + DEEP + b", "),
    "huge number": (b'"started": ', b'"started": 1' + b"0" * 400 + b', "was": '),
    "number of too many digits": (b'"at": ', b'"at": 1' + b"0" * 5000 + b', "was": '),
    "no number": (b'"minutes": 5.0', b'"minutes": "soon"'),
    "query in the id": (b'"id": "', b'"id": "\' or 1 = 1 --'),
    "other machine": (b'"machine": {', b'"machine": {"evil": 1, '),
    "other parameters": (b'"params": {', b'"params": {}, "was": {'),
    "another space": (b'"overrides": []', b'"overrides": ["space.seed=1"]'),
    "deep line": (b'{"event": "start"', b"[" * 100_000 + b'{"event": "start"'),
    "pickle": (b'{"event": "start"', pickle.dumps(Harmful(Path("marker")))),
}


@pytest.mark.parametrize(("old", "new"), RECORDS.values(), ids=RECORDS)
def test_a_crafted_record_is_one_line(old, new, tmp_path, space_file, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_record(tmp_path / "results" / "tiny", space_file, problem=Interrupted(15))
    whole = (folder / "record.jsonl").read_bytes()
    (folder / "record.jsonl").write_bytes(whole.replace(old, new, 1))
    assert old in whole
    for command in ("status", "report", "resume", "finish"):
        status, _, err = call(command, "tiny", "--results", str(tmp_path / "results"), capsys=capsys)
        assert status == 2 and ": damaged: " in err and err.count("\n") == 1
    assert not (tmp_path / "marker").exists()


def test_a_model_that_is_not_finite_is_never_saved(tmp_path):
    model = torch.nn.Linear(2, 2)
    with torch.no_grad():
        model.bias[1] = torch.nan
    with pytest.raises(NotFinite, match="the weights 'bias' are not finite"):
        save(tmp_path / "weights" / "0000.safetensors", model)
    assert not (tmp_path / "weights").exists()


def test_libraries_tell_nobody():
    code = ("import search; from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION as pickles, "
            "MLFLOW_DISABLE_TELEMETRY as silent; from ray._common.usage.usage_lib import usage_stats_enabled; "
            "print(silent.get(), pickles.get(), usage_stats_enabled())")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]
