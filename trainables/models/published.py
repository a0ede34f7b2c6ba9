"""The weights that torchvision publishes, and where they lie on this machine. Standard library only."""

from __future__ import annotations

import functools
import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from trainables.errors import BadInput
from trainables.files import digest, whole
from trainables.models import MODELS

URL = "https://download.pytorch.org/models/"
TIMEOUT = 20  # seconds without an answer

# The weights that torchvision calls DEFAULT; a name ends in the first digits of the file's SHA-256.
PUBLISHED = {
    "alexnet_fcn": "alexnet-owt-7be5be79.pth",
    "densenet121": "densenet121-a639ec97.pth",
    "efficientnet_b0": "efficientnet_b0_rwightman-7f5810bc.pth",
    "mobilenet_v2": "mobilenet_v2-7ebf99e0.pth",
    "mobilenet_v3_small": "mobilenet_v3_small-047dcff4.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet50": "resnet50-11ad3fa6.pth",
    "shufflenet_slim": "shufflenetv2_x0.5-f707e7126e.pth",
    "shufflenet_v2_x0_5": "shufflenetv2_x0.5-f707e7126e.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "vit_b_16": "vit_b_16-c867db91.pth",
}


def check(architecture: str, weights: str | None) -> None:
    """Raise `BadInput` where it is plain that there is nothing for ``architecture`` to start from."""
    if weights is not None:
        if not Path(weights).is_file():
            raise BadInput(f"{weights!r}: no such file in {Path.cwd()}; check the path", key="space.weights")
    elif architecture not in PUBLISHED:
        have = ", ".join(name for name in MODELS if name in PUBLISHED)
        wrong = f"there are no published weights of {architecture}; name a file as weights, or choose among {have}"
        raise BadInput(wrong, key="space.pretrained")


def cache() -> Path:
    """Return the folder in which torchvision, too, keeps what it downloaded."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def fetch(architecture: str) -> Path:
    """Return the file with the published weights of ``architecture``, downloaded unless it is in the cache.

    Raises:
        BadInput: it is not there and cannot be downloaded, or what is there is not what was published.
    """
    name = PUBLISHED[architecture]
    path = cache() / name
    if path.is_file():
        status = path.stat()
        if not is_named(digest_once(path, status.st_size, status.st_mtime_ns), path):
            wrong = "not the file that was published, by its sha256; delete it, so that it is fetched again"
            raise BadInput(wrong, key="space.pretrained", file=str(path))
        return path
    try:
        with urllib.request.urlopen(URL + name, timeout=TIMEOUT) as answer:
            content = answer.read()
        if not is_named(hashlib.sha256(content).hexdigest(), path):
            raise OSError("the content is not that of the name")
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            part.write_bytes(content)
    except OSError as problem:  # urllib's errors are among them
        reason = problem.reason if isinstance(problem, urllib.error.URLError) else problem
        mend = f"bring {URL}{name} there, or name a file as weights"
        wrong = f"the weights of {architecture} are not in {path.parent} and cannot be downloaded ({reason}); {mend}"
        raise BadInput(wrong, key="space.pretrained") from None
    return path


def is_named(sha256: str, path: Path) -> bool:
    """Tell whether the name of ``path`` is that of content with this ``sha256``."""
    return sha256.startswith(path.stem.rpartition("-")[2])


@functools.cache  # each trial of a process asks for it
def digest_once(path: Path, size: int, changed: int) -> str:
    """Return the sha256 of the file ``path``, read again only where its ``size`` or the time of its change is another."""
    return digest(path)
