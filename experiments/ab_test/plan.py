"""How many raters a study needs to show an effect.

    python -m experiments.ab_test plan --win_rate 0.6 --tie_share 0.15 --votes_per_rater 10

The test is that of `analyze`: an exact binomial of one side on the votes that are no ties. Votes of one rater are
alike, so that n of them say only as much as n / (1 + (m - 1) c) votes of strangers, m being the votes of a rater and c
the correlation between two of them (the design effect of Kish 1965).
"""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

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
        Win rate of the better system, ties being split.
    tie_share
        Share of votes that are ties.
    power
        Probability of finding the effect.
    significance
        Probability of finding an effect where there is none, for all comparisons together.
    comparisons
        Number of pairs of systems that are tested; they share the significance level (Bonferroni).
    votes_per_rater
        Number of times that one rater compares the two systems.
    correlation
        Correlation between two votes of a rater.
    """

    RENAMED: ClassVar = {"ties": "tie_share", "level": "significance"}

    win_rate: float
    tie_share: float = 0.1
    power: float = 0.8
    significance: float = 0.05
    comparisons: int = 1
    votes_per_rater: int = 10
    correlation: float = 0.05

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "comparisons", "votes_per_rater")
        for name in ("power", "significance"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"--{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("tie_share", "correlation"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"--{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0.5 < self.win_rate <= 1 - self.tie_share / 2:
            raise InputError(
                f"--win_rate must lie above 0.5 and, with a --tie_share of {self.tie_share:g}, be at most "
                f"{1 - self.tie_share / 2:g}, got {self.win_rate:g}"
            )


def main(options: Plan) -> None:
    """Print how many votes and raters are needed."""
    decided = (options.win_rate - options.tie_share / 2) / (1 - options.tie_share)
    needed = votes_needed(decided, options.significance / options.comparisons, options.power)
    effect = 1 + (options.votes_per_rater - 1) * options.correlation
    votes = math.ceil(needed / (1 - options.tie_share) * effect)
    plan = {
        "votes_that_are_no_ties": needed,
        "win_rate_among_them": round(decided, 4),
        "design_effect": round(effect, 3),
        "votes_on_the_pair_of_systems": votes,
        "raters": math.ceil(votes / options.votes_per_rater),
    }
    print(json.dumps(plan, indent=1))


def power_of(votes: NDArray[np.int64], share: float, significance: float) -> Array:
    """Return for each number of votes the power of an exact one-sided binomial test to find a share above 1/2."""
    from scipy.stats import binom

    most = binom.isf(significance, votes, 0.5)  # wins up to which it finds nothing
    return binom.sf(most, votes, share)


def votes_needed(share: float, significance: float, power: float) -> int:
    """Return the number of votes from which on every number has the power.

    The power of an exact test goes up and down from one number to the next, so the first that has it is not enough.

    Raises
    ------
    InputError
        If 100,000 do not.
    """
    span = 256
    while span <= 2 * _MOST:
        too_few = np.flatnonzero(power_of(np.arange(1, span + 1), share, significance) < power)
        found = int(too_few[-1]) + 2 if len(too_few) else 1
        if found <= span / 2:  # the saw's teeth shrink: it will not fall below again
            return found
        span *= 2
    raise InputError(f"even {_MOST} votes do not show a share of {share:g}")
