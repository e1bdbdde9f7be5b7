"""How long the parts of a search take."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


class Parts:
    """Seconds that this process has spent, by part of the work; see `scaling.searching.compute.Work`.

    Attributes
    ----------
    seconds : dict of str to float
        Seconds by part, in the order of their first.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, part: str, do: Callable[[], T]) -> T:
        """Do something and count the time that it takes."""
        start = time.perf_counter()
        done = do()
        if torch.cuda.is_available():  # what was asked of a GPU may still be on its way
            torch.cuda.synchronize()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
        return done
