"""The training loop as tutorials write it, to compare with: files, a Dataset, a DataLoader, transforms an image at a time.

Nothing of this project's loop is used here. The network alone is the same, with ReLU before pooling as papers print it,
which is the same function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from trainables.models import build


class ImageFiles(Dataset):
    """Image files with their labels, opened and decoded whenever they are asked for."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int], transform, mode: str = "L"):
        self.paths, self.labels, self.transform, self.mode = paths, labels, transform, mode

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert(self.mode)), self.labels[index]


def training_transform(size: int, mean: Sequence[float], std: Sequence[float], fill: int = 0,
                       rotation: float = 0) -> transforms.Compose:
    """Return flips, a turn by up to ``rotation`` degrees (the corners in ``fill``), and normalisation."""
    turn = [transforms.RandomRotation(rotation, transforms.InterpolationMode.BILINEAR, fill=fill)] if rotation else []
    return transforms.Compose([
        transforms.Resize((size, size)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomVerticalFlip(),
        *turn,
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ])


def validation_transform(size: int, mean: Sequence[float], std: Sequence[float]) -> transforms.Compose:
    return transforms.Compose([
        transforms.Resize((size, size)),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ])


def loader(data: Dataset, batch_size: int, workers: int, shuffle: bool) -> DataLoader:
    return DataLoader(data, batch_size=batch_size, shuffle=shuffle, num_workers=workers, persistent_workers=workers > 0)


def network(name: str, channels: int, outputs: int, size: int, dropout: float = 0.0) -> nn.Module:
    """Build the network with ReLU before pooling, wherever this project has them the other way round."""
    model = build(name, channels=channels, outputs=outputs, size=size, dropout=dropout)
    for part in list(model.modules()):
        if isinstance(part, nn.Sequential):
            for place in range(len(part) - 1):
                if isinstance(part[place], nn.MaxPool2d) and isinstance(part[place + 1], nn.ReLU):
                    part[place], part[place + 1] = part[place + 1], part[place]
    return model


def train_epoch(model: nn.Module, batches: DataLoader, optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """Train one epoch in fp32 and return its mean loss."""
    model.train()
    criterion = nn.CrossEntropyLoss()
    running_loss = 0.0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * len(labels)
    return running_loss / len(batches.dataset)


@torch.no_grad()
def validate(model: nn.Module, batches: DataLoader, device: torch.device) -> float:
    """Return the accuracy."""
    model.eval()
    correct = 0
    for images, labels in batches:
        correct += (model(images.to(device)).argmax(1).cpu() == labels).sum().item()
    return correct / len(batches.dataset)


def fit(model: nn.Module, train: DataLoader, val: DataLoader, optimizer: torch.optim.Optimizer, epochs: int,
        device: torch.device) -> Iterator[float]:
    """Yield the validation accuracy after every epoch."""
    for _ in range(epochs):
        train_epoch(model, train, optimizer, device)
        yield validate(model, val, device)


def write_files(pixels: np.ndarray, folder: Path) -> list[str]:
    """Write grey images (n, size, size) or (n, 1, size, size) as PNG files and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, image in enumerate(pixels.reshape(len(pixels), *pixels.shape[-2:])):
        paths.append(str(folder / f"{number:05}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths
