"""Answers of raters with a known taste, as an export holds them, without a server."""

import random

from experiments.ab_test.simulate import judgement, system_utilities
from experiments.ab_test.study import HEADS

ONE, TWO, THREE = "alpha-one", "beta-two", "gamma-three"


def answer_rows(study, key, strengths, raters, seed=0, tie=0.1, careless=0, seconds=20.0, side=None):
    """Return rows; the first `careless` raters toss a coin, or always choose `side`."""
    utilities = system_utilities(key, strengths)
    rows = []
    for rater in range(raters):
        stream = random.Random(f"{seed}-{rater}")
        place = rater % len(study.schedules)
        clock = 1_000_000.0 * (rater + 1)
        for position, (trial, swapped) in enumerate(study.schedules[place]):
            clip_a, clip_b = study.shown((trial, swapped))
            row = {}
            for head in HEADS:
                difference = utilities[head][clip_a] - utilities[head][clip_b]
                row[head] = judgement(0.0 if rater < careless else difference, tie, stream)
                if rater < careless and side:
                    row[head]["choice"] = side
            rows.append(
                {
                    "study": study.id,
                    "rater": f"{rater:016x}",
                    "place": place,
                    "position": position,
                    "trial": trial,
                    "swapped": swapped,
                    "shown_at": clock,
                    "answered_at": clock + seconds,
                    "sound_check": [one.right for one in study.headphones],
                    "comment": "",
                    "heard_a": 3.0,
                    "heard_b": 3.0,
                    "events": [],
                    **row,
                }
            )
            clock += seconds
    return rows
