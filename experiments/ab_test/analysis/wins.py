"""Which system wins: rates with intervals, an exact test, and Bradley-Terry strengths.

Ties are split: a tie is half a win for either. The test is that of the paper, an exact binomial of one side on the
votes that are no ties, here for "the system that was listed first in `build` is the better one"; over all pairs of
systems it is adjusted by Holm (1979). Two intervals stand beside each rate: Wilson's, as if all votes were independent,
and one from resampling raters, whose votes are not.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.ab_test.analysis.votes import Vote
from music.intervals import FEWEST, RESAMPLES, Array, estimate_mean, wilson_interval

_PRIOR = 0.5  # wins of either over the other that are added to each pair of systems, so that all strengths are finite


@dataclass(frozen=True)
class WinRate:
    """How often one system was preferred to another.

    Attributes
    ----------
    first, second
        The systems, in the order of the study.
    wins, ties, losses
        Votes, of the first.
    rate
        (wins + ties / 2) / votes; NaN without votes.
    low, high
        95 % interval of Wilson.
    rater_low, rater_high
        95 % interval over raters; NaN with fewer than ten.
    p
        Exact binomial probability of so many wins or more among wins and losses, were both equal.
    p_holm
        The same, adjusted for all pairs of systems.
    """

    first: str
    second: str
    wins: int
    ties: int
    losses: int
    rate: float
    low: float
    high: float
    rater_low: float
    rater_high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Strength:
    """How good a system is by the Bradley-Terry model.

    Attributes
    ----------
    system
        Its name.
    strength
        Such that P(i preferred to j) = sigmoid(strength of i - strength of j); they sum to zero.
    low, high
        95 % interval over raters; NaN with fewer than ten.
    """

    system: str
    strength: float
    low: float
    high: float


def gains_of(votes: Sequence[Vote], head: str, first: str, second: str) -> tuple[list[float], list[str]]:
    """Return 1, 1/2 or 0 for each vote between two systems, as the first won, and the raters."""
    gains, raters = [], []
    for vote in votes:
        if {vote.first, vote.second} == {first, second}:
            value = {"first": 1.0, "tie": 0.5, "second": 0.0}[vote.preferred[head]]
            gains.append(value if vote.first == first else 1 - value)
            raters.append(vote.rater)
    return gains, raters


def win_rates(votes: Sequence[Vote], systems: Sequence[str], head: str, seed: int) -> list[WinRate]:
    """Return a line for each two systems that met."""
    from scipy.stats import binomtest

    lines = []
    for first, second in itertools.combinations(systems, 2):
        gains, raters = gains_of(votes, head, first, second)
        if not gains:
            continue
        wins, ties, losses = gains.count(1.0), gains.count(0.5), gains.count(0.0)
        over_raters = estimate_mean(gains, raters, seed)
        p = float(binomtest(wins, wins + losses, alternative="greater").pvalue) if wins + losses else 1.0
        low, high = wilson_interval(wins + ties / 2, len(gains))
        lines.append(
            WinRate(
                first, second, wins, ties, losses, over_raters.value, low, high, over_raters.low, over_raters.high,
                p, math.nan,
            )
        )  # fmt: skip
    adjusted = holm([line.p for line in lines])
    return [WinRate(**(vars(line) | {"p_holm": p})) for line, p in zip(lines, adjusted, strict=True)]


def holm(values: Sequence[float]) -> list[float]:
    """Return probabilities adjusted for having looked at all of them (Holm 1979)."""
    found = [0.0] * len(values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        found[place] = highest
    return found


def strengths(votes: Sequence[Vote], systems: Sequence[str], head: str, seed: int) -> list[Strength]:
    """Return the strength of each system, with an interval from resampling raters.

    Every two systems count as having won half a vote from each other beside what was voted (a weak prior), without
    which a system that never lost would be infinitely strong.
    """
    places = {system: place for place, system in enumerate(systems)}
    by_rater: dict[str, Array] = {}
    for vote in votes:
        counts = by_rater.setdefault(vote.rater, np.zeros((len(systems), len(systems))))
        one, other = places[vote.first], places[vote.second]
        gain = {"first": 1.0, "tie": 0.5, "second": 0.0}[vote.preferred[head]]
        counts[one, other] += gain
        counts[other, one] += 1 - gain
    if not by_rater:
        return []
    table = np.stack([by_rater[rater] for rater in sorted(by_rater)])
    found = fit(table.sum(axis=0))
    low = high = np.full(len(systems), math.nan)
    if len(table) >= FEWEST:
        drawn = np.random.default_rng(seed).integers(len(table), size=(RESAMPLES, len(table)))
        low, high = np.quantile([fit(table[draw].sum(axis=0)) for draw in drawn], [0.025, 0.975], axis=0)
    numbers = zip(systems, found, low, high, strict=True)
    return [Strength(name, float(value), float(least), float(most)) for name, value, least, most in numbers]


def fit(wins: Array) -> Array:
    """Return the maximum-likelihood strengths `[S]` of wins `[S, S]` (of the row over the column), summing to zero."""
    import choix

    return choix.ilsr_pairwise_dense(wins + _PRIOR * (1 - np.eye(len(wins))))
