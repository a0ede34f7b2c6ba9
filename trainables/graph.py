"""CUDA graphs: a function of tensors recorded once and launched whole, without Python or a launch a kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from trainables.errors import first_line

WARM_UP = 3  # runs before recording: libraries set themselves up, optimizers make their state


def captured(function: Callable[..., None], *example: Tensor) -> Callable[..., None]:
    """Return ``function`` recorded as a CUDA graph; whatever the graph cannot take runs as ever.

    The graph is for arguments shaped like ``example`` and reads and writes the very tensors that ``function``
    touched while it was recorded. Recording runs ``function`` on ``example`` a few times, effects included. Random
    numbers are drawn from torch's generator as it stands at each call, the same as without a graph.

    Off CUDA this is ``function`` itself. Where it cannot be recorded a warning says why.
    """
    if not example[0].is_cuda:
        return function
    device = example[0].device
    inputs = [tensor.clone() for tensor in example]
    graph = torch.cuda.CUDAGraph()
    with torch.random.fork_rng([device]):
        warm_up(function, inputs)
        try:
            with torch.cuda.graph(graph):
                function(*inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as problem:
            what = "the training step is not captured as a CUDA graph and runs eagerly"
            warnings.warn(f"{what}: {first_line(problem)}", stacklevel=2)
            return function

    def replay(*arguments: Tensor) -> None:
        if [tensor.shape for tensor in arguments] != [tensor.shape for tensor in inputs]:
            return function(*arguments)
        for old, new in zip(inputs, arguments, strict=True):
            old.copy_(new)
        graph.replay()

    return replay


def warm_up(function: Callable[..., None], inputs: list[Tensor]) -> None:
    """Run ``function`` a few times on a stream of its own, as torch asks before a capture."""
    stream = torch.cuda.Stream(inputs[0].device)
    stream.wait_stream(torch.cuda.current_stream(inputs[0].device))
    with torch.cuda.stream(stream), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True", UserWarning)
        for _ in range(WARM_UP):
            function(*inputs)
    torch.cuda.current_stream(inputs[0].device).wait_stream(stream)
