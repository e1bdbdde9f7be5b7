"""What the candidates of a pool teach by their rewards, and in which order they are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from music.candidate import Candidate
from music.intervals import Array
from scaling.choose_best import choose_best

T = TypeVar("T")


def turns_of(items: Sequence[T], count: int, stream: np.random.Generator) -> list[T]:
    """Return whose turn it is, `count` times: all in random order, then all in another order, and so on.

    It depends on nothing but its arguments, so that a killed run goes on with what comes next, however many processes
    share it; orders are drawn from a stream at its beginning.
    """
    turns: list[T] = []
    while len(turns) < count:
        turns += [items[place] for place in stream.permutation(len(items))]
    return turns[:count]


_SPREADS = 5.0  # standard deviations; an advantage that is larger counts as this large


@dataclass(frozen=True)
class BestAndWorst:
    """The candidates of one prompt with the highest and the lowest reward; of equals, that of the lowest index."""

    best: Candidate
    worst: Candidate


@dataclass(frozen=True, eq=False)
class Judged:
    """Candidates with their rewards.

    Attributes
    ----------
    candidates
        N candidates of each of P prompts.
    rewards
        Rewards, `[P, N]`.
    """

    candidates: Sequence[Sequence[Candidate]]
    rewards: Array

    def best_and_worst(self) -> list[BestAndWorst]:
        """Return them for each prompt whose candidates differ in reward."""
        chosen = zip(choose_best(self.rewards), choose_best(-self.rewards), strict=True)
        return [
            BestAndWorst(row[best], row[worst])
            for row, values, (best, worst) in zip(self.candidates, self.rewards, chosen, strict=True)
            if values[best] > values[worst]
        ]

    def optimality(self) -> list[tuple[Candidate, float]]:
        """Return all candidates with how good they are for their prompt: r of DiffusionNFT (arXiv 2509.16117).

        It is 1/2 + clip(A / 5, -1, 1) / 2, where A is the reward less the mean of its prompt, in standard deviations of
        these differences over all prompts.
        """
        differences = self.rewards - self.rewards.mean(axis=1, keepdims=True)
        spread = float(np.sqrt(np.mean(differences**2)))
        advantages = differences / (spread or 1.0)
        optimality = 0.5 + np.clip(advantages / _SPREADS, -1, 1) / 2
        return [
            (candidate, float(value))
            for row, values in zip(self.candidates, optimality, strict=True)
            for candidate, value in zip(row, values, strict=True)
        ]

    def spread(self) -> dict[str, float]:
        """Return the mean reward of all, of the best and of the worst, over prompts."""
        best, worst = self.rewards.max(axis=1), self.rewards.min(axis=1)
        return {"mean": float(self.rewards.mean()), "best": float(best.mean()), "worst": float(worst.mean())}
