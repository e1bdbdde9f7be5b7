"""How a judge of the lab hears two clips: the truth, with a lean and two kinds of error.

    heard = truth + mishearing + lean + noise

Truth is by how much the first clip is the better one: how much less damaged it is, or for alignment plus or minus one
half. The mishearing belongs to the pair and is the same in both orders, so that no second question finds it; the lean
is the same for every question and favours what comes first; the noise belongs to the question. Both errors are
logistic. Near zero nothing is preferred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.lab.corpus import stream
from reward.judge.answers import Verdict

UNDECIDED = 0.1  # of what is heard


@dataclass(frozen=True)
class Hearing:
    """What a judge makes of the truth.

    Attributes
    ----------
    lean
        To the first clip.
    mishearing, noise
        Scales of the logistic errors of a pair and of a question; the standard deviation is 1.8 times that.
    """

    lean: float = 0.15
    mishearing: float = 0.15
    noise: float = 0.2

    def verdict(self, truth: float, head: str, turned: bool, pair: str) -> Verdict:
        """Return the answer to one question.

        Parameters
        ----------
        truth
            By how much clip a of the pair is the better one.
        head
            Musicality or alignment.
        turned
            Whether clip b comes first.
        pair
            Its name, from which all errors follow.
        """
        wrong = self.mishearing * _logistic(pair, head) + truth
        heard = (-wrong if turned else wrong) + self.lean + self.noise * _logistic(pair, head, turned)
        marks = [float(min(10, max(1, round(6 + 4 * sign * heard)))) for sign in (1, -1)]
        undecided = "both" if round(1e6 * heard) % 2 else "neither"
        return Verdict(undecided if abs(heard) < UNDECIDED else "a" if heard > 0 else "b", *marks)


def _logistic(*name: object) -> float:
    share = float(stream("judge", *name).uniform(1e-6, 1 - 1e-6))
    return math.log(share / (1 - share))
