"""Fill a pool in a process of its own: `python -m tests.generators.filling FOLDER POOL`."""

import argparse
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from generators import fill_pool, load_generator
from generators.protocol import Job, Sample
from music.pool import Pool
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
    print(f"rank {processes.rank} made {made}", flush=True)
    processes.close()


def fill(folder: str | Path, pool: str | Path, processes: Processes, die_after: int | None = None) -> int:
    """Fill a pool with nine clips and return how many this process made.

    With `die_after` the process kills itself, as kill -9 would, once it has made so many samples, before the
    last of them is in the pool.
    """
    diffusion = any((Path(folder) / mark).exists() for mark in ("model_index.json", "model_config.json"))
    quick = {"steps": 4} if diffusion else {}
    generator = load_generator(folder, device="cpu", batch_size=2, **quick)
    if die_after is not None:
        make_deadly(generator, die_after)
    prompts = [Prompt(f"p{i}", text) for i, text in enumerate(TEXTS)]
    return fill_pool(generator, prompts, 3, 0.4, Pool(pool, create=True), seed=3, processes=processes)


def make_deadly(generator: Any, count: int) -> None:
    generate = generator.generate

    def deadly(jobs: Sequence[Job], seconds: float) -> Iterator[Sample]:
        for index, sample in enumerate(generate(jobs, seconds), start=1):
            if index == count:
                os.kill(os.getpid(), signal.SIGKILL)
            yield sample

    generator.generate = deadly


if __name__ == "__main__":
    main()
