"""Spreads independent work over processes of one thread each: small models gain nothing from threads.

Arrays that take minutes to make, a row a song: made in chunks, so that a kill costs at most one chunk.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

CHUNK = 400  # rows in one file


def cached_rows(
    make: Callable[[int], np.ndarray],
    count: int,
    folder: Path,
    name: str,
    workers: int = 1,
    chunk: int = CHUNK,
) -> np.ndarray:
    """Return rows 0 to count-1 as one array [count, ...], from `folder` where they were made before.

    Parameters
    ----------
    make
        Makes a row; to be pickled where there are several workers.
    workers
        Processes that make them.
    chunk
        Rows in one file: always the same for one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [range(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    paths = [folder / f"{name}_{part.start:06d}.npy" for part in parts]
    missing = [row for row in zip(paths, parts, strict=True) if not row[0].exists()]
    spread(partial(_write, make), missing, workers, name)
    return np.concatenate([np.load(path) for path in paths])


def _write(make: Callable[[int], np.ndarray], wanted: tuple[Path, range]) -> None:
    path, indices = wanted
    part = path.with_suffix(".part.npy")
    np.save(part, np.stack([make(index) for index in indices]))
    part.rename(path)


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
