"""Spreads independent work over processes of one thread each: small models gain nothing from threads."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

import torch
from tqdm import tqdm

T = TypeVar("T")
PRELOADED = ["experiments.lab.check", "experiments.lab.gold_check"]
_work: Callable[[Any], Any]  # of a worker process


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Callable[[Any], T], items: Sequence[Any], workers: int, name: str) -> list[T]:
    """Return `work` of each item, in order; how many processes there are makes no difference.

    Parameters
    ----------
    work
        A function that can be pickled; it goes to each process once.
    workers
        Processes; 1 is this one.
    name
        Of the progress bar.
    """
    if workers == 1:
        return [work(item) for item in tqdm(items, desc=name, disable=None)]
    # as bytes: multiprocessing would hold an open file for every tensor
    with ProcessPoolExecutor(workers, _context(), _begin, (pickle.dumps(work),)) as executor:
        return list(tqdm(executor.map(_do, items), total=len(items), desc=name, disable=None))


def _context() -> BaseContext:
    """Return how processes start: as copies of one that has imported what is slow to import, where there is a fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _begin(work: bytes) -> None:
    global _work
    torch.set_num_threads(1)
    _work = pickle.loads(work)


def _do(item: Any) -> Any:
    return _work(item)
