"""How far a reward moves where the music stays the same: what a generator could learn in place of better music.

Each clip is judged as it is, and 6 dB louder and softer, without its last tenth, and with white noise 40 dB below its
own level. A reward worth training on hardly moves; the scale to compare with is how far it differs from clip to clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generators.protocol import Sample
from music.clips import Clip
from music.durable import write_text
from music.intervals import estimate_mean
from music.tables import markdown_table
from rlhf.guarded_reward import REWARD, ClipReward

NOISE = -40.0  # dB, against the clip
ROBUSTNESS = "robustness.md"
Line = Mapping[str, Any]


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


def robustness(clip_reward: ClipReward, samples: Sequence[Sample]) -> list[Line]:
    """Return a line for each of `CHANGES`: the mean change of the reward with its 95 % interval, and its mean size.

    Parameters
    ----------
    clip_reward
        The reward.
    samples
        Clips, one a prompt; noise hangs on their place.
    """
    as_they_are = np.array([one[REWARD] for one in clip_reward(samples)])
    spread = float(as_they_are.std(ddof=1)) if len(samples) > 1 else float("nan")
    lines: list[Line] = []
    for name, change in CHANGES.items():
        changed = [Sample(one.job, change(one.clip, place), None) for place, one in enumerate(samples)]
        moved = np.array([one[REWARD] for one in clip_reward(changed)]) - as_they_are
        found = estimate_mean(moved.tolist(), range(len(moved)))
        lines.append(
            {
                "change": name,
                "mean": found.value,
                "low": found.low,
                "high": found.high,
                "size": float(np.abs(moved).mean()),
                "spread": spread,
            }
        )
    return lines


def write_robustness(folder: Path, lines: Sequence[Line], clips: int) -> None:
    """Write `ROBUSTNESS` into a folder."""
    rows = [
        [
            str(line["change"]),
            f"{line['mean']:+.3f}",
            "–" if np.isnan(line["low"]) else f"[{line['low']:+.3f}, {line['high']:+.3f}]",
            f"{line['size']:.3f}",
            f"{line['size'] / line['spread']:.2f}" if line["spread"] > 0 else "–",
        ]
        for line in lines
    ]
    header = [
        "change of the sound",
        "change of the reward",
        "95 %",
        "mean size",
        "in spreads from clip to clip",
    ]
    note = f"{clips} clips of the generator before training; intervals over clips (none of fewer than ten)."
    write_text(
        folder / ROBUSTNESS,
        f"## How far the reward moves where the music stays the same\n\n{markdown_table(header, rows)}\n{note}\n",
    )
