"""How far a reward moves where the music stays the same: what a generator could learn in place of better music.

Each clip is judged as it is, and 6 dB louder and softer, without its last tenth, and with white noise 40 dB below its
own level. A reward worth training on hardly moves; the scale to compare with is how far it differs from clip to clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from generators.protocol import Sample
from music.clips import Clip
from music.durable import write_text
from music.intervals import Estimate, estimate_mean
from music.tables import markdown_table
from rlhf.guarded_reward import REWARD, ClipReward

NOISE = -40.0  # dB, against the clip
ROBUSTNESS = "robustness.md"


def _gained(decibels: float) -> Callable[[Clip, int], Clip]:
    return lambda clip, _: Clip(clip.waveform * 10 ** (decibels / 20), clip.sample_rate)


def _cropped(clip: Clip, _: int) -> Clip:
    return Clip(clip.waveform[:, : max(1, round(0.9 * clip.samples))], clip.sample_rate)


def _noisy(clip: Clip, seed: int) -> Clip:
    noise = torch.randn(clip.waveform.shape, generator=torch.Generator().manual_seed(seed))
    level = clip.waveform.square().mean().sqrt() * 10 ** (NOISE / 20)
    return Clip(clip.waveform + level * noise, clip.sample_rate)


CHANGES: Mapping[str, Callable[[Clip, int], Clip]] = {
    "+6 dB": _gained(6.0),
    "-6 dB": _gained(-6.0),
    "last tenth cut": _cropped,
    "noise at -40 dB": _noisy,
}


@dataclass(frozen=True)
class Shift:
    """How far a change of the sound moves the reward.

    Attributes
    ----------
    change
        One of `CHANGES`.
    mean
        Mean change of the reward, with its interval over clips.
    size
        Mean absolute change.
    spread
        Standard deviation of the reward from clip to clip; NaN for a single clip.
    """

    change: str
    mean: Estimate
    size: float
    spread: float


def robustness(clip_reward: ClipReward, samples: Sequence[Sample]) -> list[Shift]:
    """Return how far each of `CHANGES` moves the reward of clips, one for each prompt; noise depends on their place.

    A reward that is standardised is one on the scale of the clips as they are.
    """
    clip_reward = clip_reward.on(samples)
    as_they_are = np.array([one[REWARD] for one in clip_reward(samples)])
    spread = float(as_they_are.std(ddof=1)) if len(samples) > 1 else float("nan")
    shifts = []
    for name, change in CHANGES.items():
        changed = [Sample(one.job, change(one.clip, place), None) for place, one in enumerate(samples)]
        moved = np.array([one[REWARD] for one in clip_reward(changed)]) - as_they_are
        mean = estimate_mean(moved.tolist(), range(len(moved)))
        shifts.append(Shift(name, mean, float(np.abs(moved).mean()), spread))
    return shifts


def write_robustness(folder: Path, shifts: Sequence[Shift], clips: int) -> None:
    """Write `ROBUSTNESS` into a folder."""
    header = ["change of the sound", "change of the reward", "mean size", "in spreads from clip to clip"]
    rows = [
        [
            one.change,
            f"{one.mean:+.3f}",
            f"{one.size:.3f}",
            f"{one.size / one.spread:.2f}" if one.spread > 0 else "–",
        ]
        for one in shifts
    ]
    write_text(
        folder / ROBUSTNESS,
        "## How far the reward moves where the music stays the same\n\n"
        f"{markdown_table(header, rows)}\n{clips} clips of the generator before training; 95 % intervals over clips "
        "(none of fewer than ten).\n",
    )
