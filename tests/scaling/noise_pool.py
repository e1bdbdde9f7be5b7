"""A small pool of seeded noise and tones, with rewards to choose by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from music.clips import Clip, write_clip
from music.intervals import Array
from music.pool import Candidate, Pool
from music.processes import Processes
from music.prompts import Prompt

RATE = 8000


@dataclass(frozen=True)
class NoisePool:
    """A pool, its candidates in the order of the prompts, and a reward for each."""

    pool: Pool
    candidates: list[list[Candidate]]
    rewards: Array


def make_noise_pool(
    folder: Path, prompts: int = 3, n: int = 4, rate: int = RATE, channels: int = 1, generator: str = "noise"
) -> NoisePool:
    """Fill a pool with half a second of tone and noise a candidate."""
    write_clip(folder / "reference.flac", clip(1, rate, channels))
    wanted = [
        Prompt(
            f"song/{index} <b>",
            f"noise & tone <script>alert({index})</script>",
            "la\nla" if index == 1 else "",
            folder / "reference.flac" if index == 0 else None,
        )
        for index in range(prompts)
    ]
    spec = {"seconds": 0.5, "guidance": 3.0}
    pool = Pool(folder / "pool", create=True)
    with pool.writer(generator, spec) as writer:
        for prompt, index, seed in pool.missing(wanted, n, 0, spec, Processes({})):
            writer.add(prompt, index, seed, clip(seed, rate, channels))
    pool.merge()
    rewards = np.random.default_rng(0).standard_normal((prompts, n))
    return NoisePool(pool, pool.candidates_of(wanted, n), rewards)


def clip(seed: int, rate: int, channels: int) -> Clip:
    """Return half a second."""
    noise = torch.rand(channels, rate // 2, generator=torch.Generator().manual_seed(seed)) - 0.5
    tone = torch.sin(torch.arange(rate // 2) * (100 + seed % 400) * 2 * torch.pi / rate)
    return Clip((0.1 * noise + 0.5 * tone).float(), rate)
