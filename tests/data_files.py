"""Small data sets on disk for the tests."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.data import DataConfig


def noise(seed: int, shape: tuple[int, ...] = (12, 12)) -> np.ndarray:
    """Return uint8 pixels that no other seed gives."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write_image(path: Path, seed: int, shape: tuple[int, ...] = (12, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, shape)).save(path)
    return path


def write_classes(root: Path, first_seed: int = 0, **counts: int) -> Path:
    """Write a folder a class with ``counts`` distinct grey PNG images."""
    seed = first_seed
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            write_image(root / name / f"{number:03}.png", seed)
            seed += 1
    return root


def write_csv(root: Path, lines: list[str], name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    return root


def write_aidea(root: Path, labels: list[str], tests: int = 2) -> Path:
    """Write the competition's layout with one training image for each of ``labels``."""
    for number in range(len(labels)):
        write_image(root / "train_images" / f"train_{number:05}.png", number)
    for number in range(tests):
        write_image(root / "test_images" / f"test_{number:05}.png", 10_000 + number)
    write_csv(root, ["ID,Label"] + [f"train_{n:05}.png,{label}" for n, label in enumerate(labels)], "train.csv")
    write_csv(root, ["ID,Label"] + [f"test_{n:05}.png," for n in range(tests)], "test.csv")
    return root


def write_idx(file: Path, array: np.ndarray) -> None:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(header + array.astype(np.uint8).tobytes())


def png_of_size(width: int, height: int) -> bytes:
    """Return a small, well-formed PNG whose header announces ``width`` by ``height`` grey pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


AIDEA_LABELS = [str(label) for label in range(6) for _ in range(4)]


def make_folder(root: Path) -> DataConfig:
    return DataConfig(source="folder", root=str(write_classes(root, cat=5, dog=4)))


def make_sealed_folder(root: Path) -> DataConfig:
    write_classes(root / "train", cat=5, dog=4)
    write_classes(root / "test", first_seed=100, cat=2, dog=2)
    return DataConfig(source="folder", root=str(root / "train"), test_root=str(root / "test"))


def csv_lines(delimiter: str = ",") -> list[str]:
    rows = [f"images/{n}.png{delimiter}{'yes' if n % 2 else 'no'}{delimiter}p{n // 2}" for n in range(12)]
    return [delimiter.join(("image", "label", "person")), *rows]


def make_csv(root: Path, delimiter: str = ",", encoding: str = "utf-8") -> DataConfig:
    for number in range(12):
        write_image(root / "images" / f"{number}.png", number, (12, 12, 3))
    write_csv(root, csv_lines(delimiter), encoding=encoding)
    return DataConfig(source="csv", root=str(root), labels="labels.csv", group_column="person")


def make_arrays(root: Path) -> DataConfig:
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / "parts.npz", images=noise(0, (12, 10, 8, 3)), labels=["yes", "no"] * 6)
    return DataConfig(source="arrays", root=str(root / "parts.npz"))


def make_aidea(root: Path) -> DataConfig:
    return DataConfig(source="aidea", root=str(write_aidea(root, AIDEA_LABELS)))


def make_fashion_mnist(root: Path) -> DataConfig:
    for part, rows, seed in (("train", 40, 0), ("t10k", 20, 1)):
        write_idx(root / f"{part}-images-idx3-ubyte", noise(seed, (rows, 28, 28)))
        write_idx(root / f"{part}-labels-idx1-ubyte", np.arange(rows) % 10)
    return DataConfig(source="fashion_mnist", root=str(root))


def make_cifar10(root: Path) -> DataConfig:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for seed, name in enumerate([f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]):
        batch = {b"data": noise(seed, (20, 3072)), b"labels": [row % 10 for row in range(20)]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return DataConfig(source="cifar10", root=str(root))
