"""Images that do not fit the device: they stay where they are, and batches are copied to the device ahead of use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

AHEAD = 3  # batches that wait on the device for their step


@dataclass(frozen=True, eq=False)
class HostImages:
    """Pixels uint8 (n, channels, size, size) and targets (n, ...) in host memory or a mapped file, for ``device``."""

    pixels: Tensor
    targets: Tensor
    device: torch.device

    def __len__(self) -> int:
        return len(self.targets)

    def shuffled(self, rows: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the first ``rows`` images in random order, ``size`` at a time, on the device: pixels and targets."""
        return self._copied_ahead([part.cpu() for part in batches(rows, size, self.device)])

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images as they stand, ``size`` at a time, on the device."""
        return self._copied_ahead(torch.arange(len(self)).split(size))

    def look_up(self, pixels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels and targets of a batch that `shuffled` yielded: here, the batch itself."""
        return pixels, targets

    def example(self, size: int) -> tuple[Tensor, Tensor]:
        """Return a batch of the form that `shuffled` yields."""
        return self.pixels[:size].to(self.device), self.targets[:size].to(self.device)

    def _copied_ahead(self, parts: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        side = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        waiting, trained = deque(), deque()
        for rows in parts:
            if side and len(trained) > AHEAD:
                trained.popleft().synchronize()  # else the host, which does not wait for steps, would fill the device
            waiting.append(self._send(rows, side))
            if len(waiting) > AHEAD:
                yield self._arrived(*waiting.popleft())
                if side:
                    trained.append(torch.cuda.current_stream(self.device).record_event())
        while waiting:
            yield self._arrived(*waiting.popleft())

    def _send(self, rows: Tensor, side: torch.cuda.Stream | None) -> tuple[tuple[Tensor, Tensor], torch.cuda.Event | None]:
        """Gather some rows and start copying them; pinned memory, because only from there a copy can run beside a step."""
        gathered = []
        for images in (self.pixels, self.targets):
            batch = torch.empty((len(rows), *images.shape[1:]), dtype=images.dtype, pin_memory=side is not None)
            gathered.append(torch.index_select(images, 0, rows, out=batch))
        if side is None:
            return tuple(gathered), None
        with torch.cuda.stream(side):
            there = tuple(batch.to(self.device, non_blocking=True) for batch in gathered)
            return there, side.record_event()

    def _arrived(self, batch: tuple[Tensor, Tensor], event: torch.cuda.Event | None) -> tuple[Tensor, Tensor]:
        """Let the device wait for a copy, and keep its memory until the step that uses it is over."""
        if event is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(event)
            for tensor in batch:
                tensor.record_stream(stream)
        return batch


def batches(rows: int, size: int, device: torch.device) -> list[Tensor]:
    """Return the row numbers of each batch, in random order; a last row left alone joins the batch before it.

    One image has no batch statistics where a network ends in a map of one pixel.
    """
    parts = list(torch.randperm(rows, device=device).split(size))
    if len(parts) > 1 and len(parts[-1]) == 1 < size:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts
