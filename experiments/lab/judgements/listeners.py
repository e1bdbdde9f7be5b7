"""People who judge the lab's songs: they hear the truth through noise, are sometimes unsure, and say how sure they are.

A listener hears a difference between two clips as

    heard = truth + noise x logistic,

where truth is how much less damaged the first clip is, or for alignment plus or minus one. With the noise below, one
listener in four or five prefers the wrong clip, as in CMI-Pref, where people agree on 75 % of pairs. All is drawn from
a stream that belongs to the pair's name.
"""

from dataclasses import dataclass

import numpy as np

from experiments.lab.world.corpus import logistic, stream

NOISE = {"musicality": 0.4, "alignment": 0.8}  # scale of the logistic noise
UNDECIDED = 0.05  # heard differences nearer to zero are no preference
SURE = (0.2, 0.5, 0.9, 1.4)  # heard differences above each of which confidence is higher by one
SPREAD = 0.7  # standard deviation of one listener's rating


@dataclass(frozen=True)
class Vote:
    """What one listener says of a pair."""

    label: str  # preferred clip, "a" or "b"; or "both" (are good) or "neither"
    confidence: int  # from 1 to 5


def vote(truth: float, head: str, *name: object) -> Vote:
    """Return what a listener prefers.

    Parameters
    ----------
    truth
        Amount by which clip a is the better one.
    head
        What is judged: musicality or alignment.
    name
        Names of the pair and of the listener.
    """
    rng = stream("listener", head, *name)
    heard = truth + NOISE[head] * logistic(rng)
    if abs(heard) < UNDECIDED:
        return Vote("both" if rng.random() < 0.5 else "neither", 1)
    return Vote("a" if heard > 0 else "b", 1 + sum(abs(heard) > step for step in SURE))


def opinion(quality: float, listeners: int, *name: object) -> float:
    """Return the mean opinion from 1 to 5 of several listeners on something of a quality in [0, 1]."""
    rng = stream("opinion", *name)
    given = np.clip(np.round(1 + 4 * quality + rng.normal(0, SPREAD, listeners)), 1, 5)
    return round(float(given.mean()), 3)
