"""Work of models on a CPU, side by side on its cores.

Within one pass of a small model cores wait for each other after every operation; between passes they need not.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_cores(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return what a function makes of each item, in order, without gradients.

    As many items as torch has threads here are worked on at once, each with its share of these threads.
    """
    cores = torch.get_num_threads()
    at_once = min(cores, len(items))
    if at_once < 2:
        with torch.no_grad():
            return [function(item) for item in items]

    def work(item: Item) -> Result:
        with torch.no_grad():  # holds for one thread alone
            return function(item)

    return list(_threads(os.getpid(), at_once, cores // at_once).map(work, items))


@lru_cache(maxsize=4)
def _threads(process: int, count: int, share: int) -> ThreadPoolExecutor:
    """Return workers of this process (a fork has none of its parent's), each of which computes on `share` threads."""
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(share,))
