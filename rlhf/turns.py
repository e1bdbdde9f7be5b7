"""In which order things come to be learned from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def turns_of(items: Sequence[T], count: int, seed: int) -> list[T]:
    """Return whose turn it is, `count` times: all in random order, then all in another order, and so on.

    It hangs on nothing but its arguments, so that a killed run goes on with what comes next, however many processes
    share it.
    """
    stream = np.random.default_rng(seed)
    turns: list[T] = []
    while len(turns) < count:
        turns += [items[place] for place in stream.permutation(len(items))]
    return turns[:count]
