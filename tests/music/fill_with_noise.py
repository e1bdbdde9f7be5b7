"""A stand-in for a generator, run as a process of its own: fills a pool with seeded noise.

python fill_with_noise.py FOLDER PROMPTS N [--seed S] [--pause SECONDS] [--slow RANK] [--dies RANK]
"""

import argparse
import os
import signal
import time
from pathlib import Path

import torch

from music.clips import Clip
from music.errors import InputError
from music.pool import Pool
from music.pool_writer import BackgroundWriter
from music.processes import Processes
from music.prompts import Prompt

RATE = 8000
SPEC = {"weights": "noise", "seconds": 0.25}


def prompts(count: int) -> list[Prompt]:
    return [
        Prompt(f"song/{index}", f"noise number {index}", facts={"index": index}) for index in range(count)
    ]


def noise(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, RATE // 4, generator=generator) - 0.5


def fill(
    folder: Path,
    count: int,
    n: int,
    seed: int = 0,
    pause: float = 0.0,
    slow: int | None = None,
    dies: int | None = None,
) -> int:
    """Fill the pool; return how many clips this process made.

    One that is slow pauses ten times as long; one that dies is killed with its second clip, at the first attempt.
    """
    processes = Processes()
    pause *= 10 if processes.rank == slow else 1
    made = 0
    pool = Pool(folder, create=True)
    jobs = pool.missing(prompts(count), n, seed, SPEC, processes)
    with (
        pool.writer("noise", SPEC, processes.rank) as writer,
        BackgroundWriter(writer, waiting=2) as background,
    ):
        for prompt, index, job_seed in processes.claim(jobs):
            waveform = noise(job_seed)
            time.sleep(pause)
            background.add(prompt, index, job_seed, Clip(waveform, RATE), (waveform * 100).long())
            made += 1
            if made == 2 and processes.rank == dies and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                os.kill(os.getpid(), signal.SIGKILL)
    processes.barrier()
    if processes.is_main:
        pool.merge()
    processes.close()
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("prompts", type=int)
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--slow", type=int)
    parser.add_argument("--dies", type=int)
    options = vars(parser.parse_args())
    print("ready", flush=True)
    try:
        made = fill(options.pop("folder"), options.pop("prompts"), **options)
        # in one write: the lines of two processes must not mix
        print(f"made {made} by rank {os.environ.get('RANK', '0')}\n", end="", flush=True)
    except InputError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
