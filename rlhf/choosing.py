"""Which candidates of a pool a generator learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from music.candidate import Candidate
from scaling.choose_best import choose_best
from scaling.estimators import Array


@dataclass(frozen=True)
class BestAndWorst:
    """The candidates of one prompt with the highest and the lowest reward; of equals the lowest index."""

    best: Candidate
    worst: Candidate
    gap: float


def best_and_worst(candidates: Sequence[Sequence[Candidate]], rewards: Array) -> list[BestAndWorst]:
    """Return them for each prompt whose candidates differ in reward.

    Parameters
    ----------
    candidates
        Of each prompt, P rows of N.
    rewards
        `[P, N]`.
    """
    found = []
    for row, best, worst, values in zip(
        candidates, choose_best(rewards), choose_best(-rewards), rewards, strict=True
    ):
        gap = float(values[best] - values[worst])
        if gap > 0:
            found.append(BestAndWorst(row[best], row[worst], gap))
    return found


def spread_of(rewards: Array) -> dict[str, float]:
    """Return the mean reward of all, of the best and of the worst, over prompts."""
    every = {"mean": rewards, "best": rewards.max(axis=1), "worst": rewards.min(axis=1)}
    return {name: float(np.mean(values)) for name, values in every.items()}
