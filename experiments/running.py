"""Work in processes of their own: functions over many items, and commands as a user would start them."""

import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

import torch

from music.devices import threads_of_torch
from music.durable import make_folder
from music.errors import InputError
from music.progress import progress

T = TypeVar("T")
_PRELOADED = ["experiments.lab.check", "experiments.lab.gold_check"]  # they import all that is slow to import
_work: Callable[[Any], Any]  # the work of a worker process


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    work: Callable[[Any], T],
    items: Sequence[Any],
    workers: int,
    name: str,
    chunk: int = 1,
) -> list[T]:
    """Return `work` of each item, in order; the number of processes makes no difference.

    Each works with one thread, this one too while it does: small models gain nothing from more, and another number
    would give sums, and with them trained weights, other last bits.

    Parameters
    ----------
    work
        A function that can be pickled; it goes to each process once.
    workers
        Number of processes; 1 is this one.
    name
        Name of the progress bar.
    chunk
        Number of items that a process takes at a time.

    Raises
    ------
    InputError
        If the system ends a process, as it does where memory runs out.
    """
    if workers == 1:
        with threads_of_torch(1):
            return [work(item) for item in progress(items, desc=name)]
    # as bytes: multiprocessing would hold an open file for every tensor
    with ProcessPoolExecutor(workers, _context(), _begin, (pickle.dumps(work),)) as executor:
        found = executor.map(_do, items, chunksize=chunk)
        try:
            return list(progress(found, total=len(items), desc=name))
        except BrokenProcessPool as error:
            raise InputError(
                f"{name}: one of {workers} processes was ended from outside, perhaps for want of memory: "
                "use fewer --workers"
            ) from error


def _context() -> BaseContext:
    """Return how processes start: as copies of one that has imported what is slow to import, where there is a fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _begin(work: bytes) -> None:
    global _work
    torch.set_num_threads(1)
    _work = pickle.loads(work)


def _do(item: Any) -> Any:
    return _work(item)


def run_command(
    script: str,
    options: Mapping[str, object],
    arguments: Sequence[str] = (),
    *,
    processes: int = 1,
    log: Path | None = None,
) -> None:
    """Run a command of this project, under torchrun if it gets several processes; each has one thread, as in `spread`.

    Parameters
    ----------
    script
        File of the command.
    options
        Values by the names of the options.
    arguments
        Positionals of the command.
    processes
        Number of processes.
    log
        File to append all output to; it is printed by default.

    Raises
    ------
    InputError
        If the command fails; the message ends with the last line of the log.
    """
    # without the "--", torchrun would take --n for its own
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "--"]
    words = [sys.executable, *(torchrun if processes > 1 else []), script, *arguments]
    words += [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if log is None:
        code, told = subprocess.run(words, env=environment).returncode, "see above"
    else:
        make_folder(log.parent)
        with log.open("a") as file:
            code = subprocess.run(words, env=environment, stdout=file, stderr=file).returncode
        told = " ".join(log.read_text(errors="replace").strip().splitlines()[-1:])
    if code:
        raise InputError(f"{log or script} ended with code {code}: {told}")
