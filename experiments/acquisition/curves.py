"""What the rewards of loops are worth after so many answers, as judges hear it, and how ways of choosing differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np

from experiments.ablations.testing import resampled_mean
from experiments.acquisition.loops import HELD_OUT, Judged, Loops
from music.errors import InputError
from music.intervals import Array, Estimate
from music.scores import read_scores
from reward import RewardWeights
from rlhf.asking.measuring import within_prompt
from rlhf.asking.options import RewardLoop
from rlhf.asking.rounds import log_of, name_of
from scaling.estimators import best_of_n

BEST, ORDER = "best of n", "order"
RANDOM = "random"
Values = dict[tuple[str, int], Array]  # (way, answers) -> what was measured, [seeds, P]


@dataclass(frozen=True)
class Point:
    """A measure of the rewards of a way after so many answers, over seeds and prompts.

    Attributes
    ----------
    measure
        Measure: what a judge says of the reward's best of n, or how alike both order the candidates of a prompt.
    metric
        Metric of a judge.
    way, answers
        Way of choosing, and answers of all rounds so far; 0 is the first reward.
    value
        Mean.
    gain
        Difference from the first reward.
    to_random
        Difference from `random` after as many answers.
    to_twice
        Difference from `random` after twice as many answers.
    """

    measure: str
    metric: str
    way: str
    answers: int
    value: Estimate
    gain: Estimate
    to_random: Estimate
    to_twice: Estimate


def curves_of(loops: Loops, judged: Judged) -> list[Point]:
    """Return all points of all loops that have ended."""
    rewards = {
        (*key, answers): found for key, one in loops.items() for answers, found in _rewards(one, judged)
    }
    points = []
    for measure, of in ((BEST, _best), (ORDER, within_prompt)):
        for metric, heard in judged.judges.items():
            first = np.array(of(judged.rewards, heard), float)
            seeds = sorted({seed for _, seed in loops})
            values: Values = {
                (way, answers): np.stack([of(rewards[way, seed, answers], heard) for seed in seeds])
                for way, answers in dict.fromkeys((way, answers) for way, _, answers in rewards)
            }
            values |= {
                (way, 0): np.tile(first, (len(seeds), 1)) for way in dict.fromkeys(way for way, _ in values)
            }
            points += [_point(measure, metric, key, values) for key in sorted(values, key=_place(values))]
    return points


def _place(values: Values):
    """Return the order of keys: ways as they come, then the number of answers."""
    ways = list(dict.fromkeys(way for way, _ in values))
    return lambda key: (ways.index(key[0]), key[1])


def _point(measure: str, metric: str, key: tuple[str, int], values: Values) -> Point:
    way, answers = key
    own = values[key]

    def difference(other: tuple[str, int]) -> Estimate:
        return resampled_mean(own - values[other]) if other in values and other != key else Estimate(nan)

    first = difference((way, 0))
    paired = difference((RANDOM, answers)) if answers else Estimate(nan)
    twice = difference((RANDOM, 2 * answers)) if answers else Estimate(nan)
    return Point(measure, metric, way, answers, resampled_mean(own), first, paired, twice)


def _best(rewards: Array, heard: Array) -> Array:
    return best_of_n(rewards, heard, rewards.shape[1])


def _rewards(options: RewardLoop, judged: Judged) -> list[tuple[int, Array]]:
    """Return the number of answers after each round of a loop, and how its reward rewards held-out clips, `[P, N]`."""
    weighed = RewardWeights.parse(options.weights) if options.weights else RewardWeights()
    folder = options.output / HELD_OUT
    known = read_scores(folder)
    hashes = {row["round"]: row.get("reward_hash", "") for row in log_of(options)}
    found = []
    for index in range(options.rounds):
        rows: Mapping = known.get((name_of(index), hashes.get(index, "")), {})
        keys = [[(*one.key, one.sha256) for one in row] for row in judged.candidates]
        if any(key not in rows for row in keys for key in row):
            raise InputError(
                f"{folder} lacks scores of round {index}: delete {options.output} to run it again"
            )
        names = rows[keys[0][0]]
        metrics = {name: np.array([[rows[key][name] for key in row] for row in keys]) for name in names}
        found.append((options.budget * (index + 1), weighed(metrics)))
    return found
