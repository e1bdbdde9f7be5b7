"""Fill a pool in a process of its own: `python -m tests.generators.filling FOLDER POOL`."""

import argparse
import itertools
import os
import signal
from pathlib import Path
from typing import Any

import torch

from generators import fill_pool, load_generator
from music.pool import Pool
from music.pool_writer import PoolWriter
from music.processes import Processes
from music.prompts import Prompt

TEXTS = ("sad piano", "slow jazz, brushes", "a polka")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("pool")
    options = parser.parse_args()
    torch.set_num_threads(1)
    processes = Processes()
    made = fill(options.folder, options.pool, processes)
    # in one write: the lines of two processes must not mix
    print(f"rank {processes.rank} made {made}\n", end="", flush=True)
    processes.close()


def fill(folder: str | Path, pool: str | Path, processes: Processes, die_at: int | None = None) -> int:
    """Fill a pool with nine clips and return how many this process made.

    With `die_at` the process kills itself, as kill -9 would, when it begins to write the clip of that number.
    """
    diffusion = any((Path(folder) / mark).exists() for mark in ("model_index.json", "model_config.json"))
    quick = {"steps": 4} if diffusion else {}
    generator = load_generator(folder, device="cpu", batch_size=2, **quick)
    if die_at is not None:
        die_while_writing(die_at)
    prompts = [Prompt(f"p{i}", text) for i, text in enumerate(TEXTS)]
    return fill_pool(generator, prompts, 3, 0.4, Pool(pool, create=True), seed=3, processes=processes)


def die_while_writing(count: int) -> None:
    add, added = PoolWriter.add, itertools.count(1)

    def deadly(*arguments: Any) -> None:
        if next(added) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        add(*arguments)

    PoolWriter.add = deadly  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
