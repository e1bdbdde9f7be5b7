"""What simulated people say of pairs of clips, from what a judge says of each.

Somebody hears a difference between two clips as utility of the first - utility of the second + logistic noise, so that
P(first preferred) = sigmoid(difference), the Bradley-Terry model; small differences are ties, and the larger one is,
the surer people are. A utility is what a judge says of a clip, in standard deviations over the clips.
"""

import math
import random
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from music.intervals import Array
from reward.judgements import HEADS
from reward.protocol import judging

_SURE = (0.5, 1.0, 2.0, 3.0)  # heard differences above which people are surer by one
_MARGIN = "margin"  # of a judge that tells alignment in finer steps than by its share of facts


def answering(metrics: Collection[str], head: str) -> list[str]:
    """Return the metrics of a judge that answer a question.

    They are those whose names end in it, or for alignment in "margin" if there is one; all where no name does.
    """
    judged = judging(metrics)
    endings = (_MARGIN, head) if head == "alignment" else (head,)
    found = ([name for name in judged if name.endswith(ending)] for ending in endings)
    return next(filter(None, found), judged)


def utilities_of(scores: Mapping[str, Array], among: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """Return for each head the utilities of C clips, `[C]`.

    Parameters
    ----------
    scores
        A judge's metrics of them by name, `[C]` each.
    among
        Its metrics of the clips whose mean is 0 and whose standard deviation is 1; the same by default.
    """
    found = {}
    for head in HEADS:
        names = answering(scores, head)
        values, others = (
            np.stack([one[name] for name in names], axis=1) for one in (scores, among or scores)
        )
        spread = np.maximum(others.std(axis=0), 1e-9)
        found[head] = ((values - others.mean(axis=0)) / spread).mean(axis=1)
    return found


def judgement(difference: float, tie_threshold: float, stream: random.Random) -> dict[str, Any]:
    """Return the `choice` and `confidence` of somebody who hears a difference (of a over b) through logistic noise."""
    share = stream.uniform(1e-9, 1 - 1e-9)
    heard = difference + math.log(share / (1 - share))
    choice = "tie" if abs(heard) < tie_threshold else "a" if heard > 0 else "b"
    return {"choice": choice, "confidence": 1 + sum(abs(heard) > step for step in _SURE)}
