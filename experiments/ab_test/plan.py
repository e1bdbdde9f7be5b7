"""How many raters a study needs to show an effect.

    python -m experiments.ab_test plan --win_rate 0.6 --ties 0.15 --votes_per_rater 10

The test is that of `analyze`: an exact binomial of one side on the votes that are no ties. Votes of one rater are
alike, so that n of them say less than n votes of strangers: as much as n / (1 + (m - 1) c), m being the votes of a
rater and c the correlation between two of them (the design effect of Kish 1965).
"""

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music.command import refuse_below_one
from music.errors import InputError
from music.intervals import Array

_MOST = 100_000  # votes


@dataclass(frozen=True)
class Plan:
    """Say how many votes and raters it takes to show that one system is preferred to another.

    Parameters
    ----------
    win_rate
        Of the better system, ties being split.
    ties
        Share of votes that are ties.
    power
        Probability of finding the effect.
    level
        Probability of finding one where there is none, for all comparisons together.
    comparisons
        Pairs of systems that are tested (the level is shared by all: Bonferroni).
    votes_per_rater
        How often one rater compares the two systems.
    correlation
        Between two votes of a rater.
    """

    win_rate: float
    ties: float = 0.1
    power: float = 0.8
    level: float = 0.05
    comparisons: int = 1
    votes_per_rater: int = 10
    correlation: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        refuse_below_one(self, "comparisons", "votes_per_rater")
        for name in ("power", "level"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"--{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("ties", "correlation"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"--{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0.5 < self.win_rate <= 1 - self.ties / 2:
            raise InputError(
                f"--win_rate must lie above 0.5 and, with {self.ties:g} of ties, be at most {1 - self.ties / 2:g}, "
                f"got {self.win_rate:g}"
            )


def main(options: Plan) -> None:
    """Print how many votes and raters are needed."""
    decided = (options.win_rate - options.ties / 2) / (1 - options.ties)
    needed = votes_needed(decided, options.level / options.comparisons, options.power)
    effect = 1 + (options.votes_per_rater - 1) * options.correlation
    votes = math.ceil(needed / (1 - options.ties) * effect)
    print(
        json.dumps(
            {
                "votes_that_are_no_ties": needed,
                "win_rate_among_them": round(decided, 4),
                "design_effect": round(effect, 3),
                "votes_on_the_pair_of_systems": votes,
                "raters": math.ceil(votes / options.votes_per_rater),
            },
            indent=1,
        )
    )


def power_of(votes: NDArray[np.int64], share: float, level: float) -> Array:
    """Return for numbers of votes the probability that an exact binomial test of one side finds a share above 1/2."""
    from scipy.stats import binom

    most = binom.isf(level, votes, 0.5)  # wins up to which it finds nothing
    return binom.sf(most, votes, share)


def votes_needed(share: float, level: float, power: float) -> int:
    """Return the number of votes from which on every number has the power.

    The power of an exact test goes up and down from one number to the next, so the first that has it is not enough.

    Raises
    ------
    InputError
        If 100,000 do not.
    """
    span = 256
    while span <= 2 * _MOST:
        too_few = np.flatnonzero(power_of(np.arange(1, span + 1), share, level) < power)
        found = int(too_few[-1]) + 2 if len(too_few) else 1
        if found <= span / 2:  # the saw's teeth shrink: it will not fall below again
            return found
        span *= 2
    raise InputError(f"even {_MOST} votes do not show a share of {share:g}")
