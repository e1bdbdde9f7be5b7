"""What the benchmarks share: options, ways of working that take turns, and figures over turns."""

import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from music.command import refuse_below_one, split_names
from music.devices import find_device
from music.errors import InputError

_WARM_UP = 0.1  # s; length of the clips that are made before the clock runs


@dataclass(frozen=True, kw_only=True)
class Turns:
    """How often ways are timed, and with what of the machine.

    Attributes
    ----------
    turns
        Number of times that each way is timed.
    threads
        Threads of the CPU; as many as torch takes by default.
    device
        Device of the models: auto, cpu, cuda, cuda:1 ...; auto is the GPU if there is one.
    """

    turns: int = 1
    threads: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        refuse_below_one(self, "turns", "threads")

    def start(self) -> torch.device:
        """Set the number of threads, and return the device."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return find_device(self.device)


@dataclass(frozen=True, kw_only=True)
class Timing(Turns):
    """How ways are timed beside what the machine can do.

    Attributes
    ----------
    matmul
        Rows and columns of the matrices whose product tells what arithmetic the machine can do.
    """

    matmul: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "matmul")


def refuse_unknown(options: Any, option: str, known: Collection[str]) -> None:
    """Raise `InputError` if an option names something, among commas, that is not known."""
    for name in split_names(getattr(options, option)):
        if name not in known:
            raise InputError(f"--{option} must be among {', '.join(known)}, got {name!r}")


@dataclass(frozen=True)
class Way:
    """A way of making clips: ours, batch or loop."""

    name: str
    dtype: str
    clips: int  # number of clips that it makes in a turn
    make: Callable[[float], int]  # makes them, given their length in s, and returns how many there are


def timed(
    ways: list[Way], turns: int, seconds: float, warm_up: float | None = _WARM_UP
) -> Iterator[tuple[Way, float]]:
    """Yield each way with the seconds it took, turn by turn, every other turn in reverse order.

    Clips of `warm_up` s are made before the clock runs; none if it is None.
    """
    if warm_up is not None:
        for way in ways:
            way.make(warm_up)
    for turn in range(turns):
        for way in ways[:: -1 if turn % 2 else 1]:
            began = time.perf_counter()
            made = way.make(seconds)
            took = time.perf_counter() - began
            if made != way.clips:
                raise RuntimeError(f"{way.name} made {made} of {way.clips} clips")
            message = f"turn {turn + 1} of {turns}: {way.dtype} {way.name}: {made} clips in {took:.2f} s"
            print(message, file=sys.stderr, flush=True)
            yield way, took


def over_turns(values: Sequence[float]) -> dict[str, float]:
    """Return median, lowest and highest, to four digits."""
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def ratios(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """Return how many times as fast the second is, turn by turn."""
    return over_turns([one / other for one, other in zip(slow, fast, strict=True)])
