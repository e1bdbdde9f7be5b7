"""Adaptive N: draw for a prompt until what one more candidate would bring is below what it costs (arXiv 2510.01394).

Each prompt is a box of Pandora's: opening it once more costs a clip, and only the best of what came out counts. With
the k rewards x of a prompt so far, one more is expected to raise their best b by

    EI = E[max(0, r - b)],   r ~ m + sqrt(s^2 + v) t_f
    f = PRIOR + k - 1,   s^2 = (PRIOR s0^2 + sum (x - mean x)^2) / f
    m = w mean x + (1 - w) m0,   v = w s^2 / k,   w = k / (k + s^2 / tau^2)

where m0 and tau are mean and spread of the means of prompts, and s0 is the spread of rewards within prompts, all
estimated from the rewards of the whole run: of a few draws a prompt's own mean and spread are hardly known. The wide
tails of Student's t stand for what is left of that, as the paper's upper confidence bound does; where the paper puts
rewards on one scale by Bradley-Terry, the cost is counted in units of s0 here. A prompt is drawn for while EI is above
cost * s0.

It goes in rounds: in each, candidates are drawn for the prompts with the largest EI, then all rewards are looked at
again. With a budget, fewer prompts are served in a round, so that draws go where they bring most, and it ends when the
budget of all prompts together is spent. What is drawn next is a function of the rewards so far: of any number of
processes, after a kill, and offline from a pool alike. The candidates are those of best of n.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from music.errors import InputError
from scaling.methods.protocol import RoundMethod

DEFAULT_COST = 0.1  # spreads; about ten candidates of a normal reward
_FIRST = 3  # candidates that each prompt gets before anything is decided
_ROUNDING = 1e-9
_PRIOR = 8.0  # draws that the spread over all prompts counts for in the spread of one
_SERVED = 0.25  # share of the prompts that a round draws for where a budget is shared


@dataclass(frozen=True)
class Stop(RoundMethod):
    """Draw until one more candidate is not worth its cost; n is the most that a prompt gets.

    Attributes
    ----------
    cost
        Cost of a candidate in units of the spread of rewards within prompts, 0 or more.
    budget
        Candidates of a prompt, on average over all prompts, at least 1; None for no limit but n.
    """

    cost: float = DEFAULT_COST
    budget: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no cost."""
        if not (math.isfinite(self.cost) and self.cost >= 0):
            raise InputError(f"--cost must be 0 or more, got {self.cost}")

    @classmethod
    def of(cls, options: Any, n: int) -> "Stop":
        """Return the method that the options of a command ask for; a budget that is given is spent."""
        cost = options.cost
        if cost is None:
            cost = DEFAULT_COST if options.budget is None else 0.0
        return cls(n, cost, options.budget)

    def next_draws(self, rewards: Mapping[str, Sequence[float]]) -> list[str]:
        """Return the prompts that get one more candidate now; see `RoundMethod.next_draws`."""
        most = self.n * len(rewards)
        allowed = most if self.budget is None else math.floor(self.budget * len(rewards) + _ROUNDING)
        start = max(1, min(_FIRST, self.n, allowed // len(rewards)))
        if behind := sorted(name for name, found in rewards.items() if len(found) < start):
            return behind
        left = allowed - sum(map(len, rewards.values()))
        spread = spread_within(rewards)
        gains = expected_improvements(rewards)
        worth = sorted(
            (-gain, name)
            for name, gain in gains.items()
            if gain > self.cost * spread and len(rewards[name]) < self.n
        )
        served = len(worth) if self.budget is None else math.ceil(_SERVED * len(worth))
        return sorted(name for _, name in worth[: min(served, max(0, left))])


def spread_within(rewards: Mapping[str, Sequence[float]]) -> float:
    """Return the standard deviation of rewards within prompts, over all prompts; 0 if no prompt has two."""
    squares, freedom = [], 0
    for _, found in sorted(rewards.items()):
        mean = math.fsum(found) / len(found) if found else 0.0
        squares += [(value - mean) ** 2 for value in found]
        freedom += max(0, len(found) - 1)
    return math.sqrt(math.fsum(squares) / freedom) if freedom else 0.0


def spread_between(rewards: Mapping[str, Sequence[float]], spread: float) -> float:
    """Return the standard deviation of the true means of prompts: what their means vary by beyond chance."""
    if len(rewards) < 2:
        return 0.0
    means = [math.fsum(found) / len(found) for _, found in sorted(rewards.items())]
    centre = math.fsum(means) / len(means)
    varies = math.fsum((mean - centre) ** 2 for mean in means) / (len(means) - 1)
    chance = spread**2 * math.fsum(sorted(1 / len(found) for found in rewards.values())) / len(means)
    return math.sqrt(max(0.0, varies - chance))


def expected_improvements(rewards: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return by how much one more draw is expected to raise the best of each prompt.

    Parameters
    ----------
    rewards
        Rewards of the candidates of each prompt so far, one or more, by prompt id.
    """
    from scipy.stats import t

    spread = spread_within(rewards)
    between = spread_between(rewards, spread)
    counts = np.array([len(found) for found in rewards.values()], float)
    means = np.array([math.fsum(found) / len(found) for found in rewards.values()])
    squares = np.array(
        [
            math.fsum((value - mean) ** 2 for value in found)
            for found, mean in zip(rewards.values(), means, strict=True)
        ]
    )
    freedom = _PRIOR + counts - 1
    variance = (_PRIOR * spread**2 + squares) / freedom
    weight = counts * between**2 / np.maximum(counts * between**2 + variance, np.finfo(float).tiny)
    middle = weight * means + (1 - weight) * math.fsum(sorted(means.tolist())) / len(means)
    scale = np.sqrt(variance + weight * variance / counts)
    above = np.array([max(found) for found in rewards.values()]) - middle
    z = np.divide(above, scale, out=np.zeros_like(scale), where=scale > 0)
    gain = scale * ((freedom + z**2) / (freedom - 1) * t.pdf(z, freedom) - z * t.sf(z, freedom))
    return {name: max(0.0, float(one)) for name, one in zip(rewards, gain, strict=True)}
