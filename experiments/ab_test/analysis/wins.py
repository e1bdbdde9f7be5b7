"""Which system wins: rates with intervals, an exact test, and Bradley-Terry strengths.

Ties are split: a tie is half a win for either. The test is that of the paper, an exact binomial of one side on the
votes that are no ties, here for "the system that was listed first in `build` is the better one"; over all pairs of
systems it is adjusted by Holm (1979). Two intervals stand beside each rate: Wilson's, as if all votes were independent,
and one from resampling raters, whose votes are not.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.ab_test.analysis.votes import Vote
from music.intervals import Array, Estimate, estimate_each, estimate_mean, wilson_interval
from reward.bradley_terry import fit_strengths

_GAIN = {"first": 1.0, "tie": 0.5, "second": 0.0}  # of the first system


@dataclass(frozen=True)
class WinRate:
    """How often one system was preferred to another.

    Attributes
    ----------
    first, second
        The systems, in the order of the study.
    wins, ties, losses
        Numbers of votes, as the first won.
    rate
        (wins + ties / 2) / votes.
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


def win_rates(votes: Sequence[Vote], systems: Sequence[str], head: str, seed: int) -> list[WinRate]:
    """Return a line for each two systems that met."""
    from scipy.stats import binomtest

    lines = []
    for first, second in itertools.combinations(systems, 2):
        met = [vote for vote in votes if {vote.first, vote.second} == {first, second}]
        if not met:
            continue
        gains = [abs(_GAIN[vote.preferred[head]] - (vote.first != first)) for vote in met]
        wins, ties, losses = gains.count(1.0), gains.count(0.5), gains.count(0.0)
        mean = estimate_mean(gains, [vote.rater for vote in met], seed)
        p = float(binomtest(wins, wins + losses, alternative="greater").pvalue) if wins + losses else 1.0
        wilson = wilson_interval(wins + ties / 2, len(gains))
        lines.append(
            WinRate(first, second, wins, ties, losses, mean.value, *wilson, mean.low, mean.high, p, math.nan)
        )
    adjusted = holm([line.p for line in lines])
    return [replace(line, p_holm=p) for line, p in zip(lines, adjusted, strict=True)]


def holm(values: Sequence[float]) -> list[float]:
    """Return probabilities adjusted for having looked at all of them (Holm 1979)."""
    found = [0.0] * len(values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        found[place] = highest
    return found


def strengths(votes: Sequence[Vote], systems: Sequence[str], head: str, seed: int) -> dict[str, Estimate]:
    """Return the strength of each system, such that P(i preferred to j) = sigmoid(strength of i - strength of j).

    They sum to zero; intervals are from resampling raters. See `reward.bradley_terry.fit_strengths`.
    """
    places = {system: place for place, system in enumerate(systems)}
    by_rater: dict[str, Array] = {}
    for vote in votes:
        wins = by_rater.setdefault(vote.rater, np.zeros((len(systems), len(systems))))
        first, second, gain = places[vote.first], places[vote.second], _GAIN[vote.preferred[head]]
        wins[first, second] += gain
        wins[second, first] += 1 - gain
    raters = sorted(by_rater)
    table = np.stack([by_rater[rater] for rater in raters])
    found = estimate_each(lambda drawn: fit_strengths(drawn.sum(axis=0)), table, raters, seed)
    return dict(zip(systems, found, strict=True))
