"""What the benchmarks share: repetitions taken in turn, ratios over them, and the last line that a program can read."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


def arguments(doc: str, repetitions: int = 5) -> argparse.Namespace:
    """Parse what every benchmark is asked with; ``--quick`` is a smoke test whose figures mean nothing."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one repetition: does it still run?")
    parser.add_argument("--repetitions", type=int, default=repetitions)
    given = parser.parse_args()
    if given.quick:
        given.repetitions = 1
    return given


def in_turn(ways: Mapping[str, Callable[[], Any]], repetitions: int, warm_up: bool = False) -> dict[str, list[Any]]:
    """Call every way once a repetition, one after the other, so that a slow minute of the machine meets all of them.

    Args:
        warm_up: call each once before, uncounted.
    """
    if warm_up:
        for way in ways.values():
            way()
    found: dict[str, list[Any]] = {name: [] for name in ways}
    for repetition in range(repetitions):
        for name, way in ways.items():
            found[name].append(way())
            print(f"  {repetition + 1}/{repetitions} {name}: {shown(found[name][-1])}", flush=True)
    return found


def shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def compare(benchmark: str, ours: Sequence[float], theirs: Sequence[float], target: float, **more: Any) -> dict[str, Any]:
    """Return one result: how many times as good ours is as theirs, where less is better (seconds).

    The ratio is taken within each repetition; ``ratio`` is the median over them, ``low`` and ``high`` are the ends.
    """
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    return {
        "benchmark": benchmark,
        "ratio": round(statistics.median(ratios), 2),
        "low": round(min(ratios), 2),
        "high": round(max(ratios), 2),
        "target": target,
        "reached": statistics.median(ratios) >= target,
        "repetitions": len(ratios),
        "device": device(),
        **more,
    }


def median(values: Iterable[float], digits: int = 4) -> float:
    return round(statistics.median(values), digits)


def device() -> str:
    """Name the GPU that torch sees, else the processor and its cores."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    bf16 = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return f"{names[0] if names else 'CPU'}, {len(os.sched_getaffinity(0))} cores, {'with' if bf16 else 'no'} bf16"


def in_process(module: str, *given: object) -> Any:
    """Run ``module`` in a Python of its own and return the JSON of its last line."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, given)], cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} {given} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Helper:
    """A Python of its own that stays: each call makes ``module``'s `serve` work once and returns what it printed.

    For ways that must not share a process, because one of them changes it.
    """

    def __init__(self, module: str, *given: object):
        command = [sys.executable, "-m", module, "--serve", *map(str, given)]
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self) -> Any:
        print(file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def serve(way: Callable[[], Any]) -> None:
    """Be the other end of a `Helper`: call ``way`` once for every line that comes in."""
    for _ in sys.stdin:
        print(json.dumps(way()), flush=True)


def conclude(results: Sequence[dict[str, Any]]) -> None:
    """Print each result for people, then all of them on the last line."""
    for result in results:
        verdict = "reached" if result["reached"] else "MISSED"
        print(f"{result['benchmark']}: {result['ratio']}x ({result['low']} to {result['high']}), "
              f"target {result['target']}x: {verdict}")
    print(json.dumps(results[0] if len(results) == 1 else results))
