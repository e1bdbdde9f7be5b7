"""What methods bring beside best of n at the same compute: differences, paired by prompt, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from experiments.ablations.testing import resampled_mean
from experiments.search.runs import Found
from music.intervals import FEWEST, Array, Estimate
from rlhf.assessment.comparison import REWARD
from scaling.estimators import best_of_n

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Yardstick:
    """Best of n, for each n from 1 to N.

    Attributes
    ----------
    metrics
        Metrics of what the reward picks among n, `[S, P, N]` of S seeds and P prompts, by name; unbiased.
    diversity
        Vendi scores of the best of the first n, `[S, N]`, by name.
    """

    metrics: Mapping[str, Array]
    diversity: Mapping[str, Array]

    @classmethod
    def of(cls, found: Sequence[Found], most: int) -> Yardstick:
        """Return it from the candidates of each seed, of which the first `most` count."""
        kept = [{name: values[:, :most] for name, values in one.metrics.items()} for one in found]
        curves = {name: np.stack([_curve(one[REWARD], one[name]) for one in kept]) for name in kept[0]}
        names = found[0].diversity
        return cls(curves, {name: np.stack([one.diversity[name][:most] for one in found]) for name in names})

    @property
    def most(self) -> int:
        """The largest n."""
        return self.metrics[REWARD].shape[-1]

    def needs(self, reward: float) -> float:
        """Return how many clips best of n needs for a mean reward, between two n by interpolation; NaN if too few."""
        means = self.metrics[REWARD].mean((0, 1))
        if reward > means[-1] + _ROUNDING:
            return nan
        return float(np.interp(reward, means, range(1, self.most + 1)))


@dataclass(frozen=True)
class Measured:
    """A metric of what a method has chosen, over prompts and seeds.

    Attributes
    ----------
    metric
        Name of the metric.
    value
        Mean.
    gain
        Difference from a single clip.
    to_same
        Difference from best of n at the same compute.
    to_target
        Difference from best of `target`.
    """

    metric: str
    value: Estimate
    gain: Estimate
    to_same: Estimate
    to_target: Estimate


def measure(found: Sequence[Found], yardstick: Yardstick, target: int) -> list[Measured]:
    """Return all metrics of the runs of a method at one budget, one for each seed, the reward first.

    Parameters
    ----------
    found
        What the run of each seed has found.
    yardstick
        Best of n with the same seeds, on the same prompts.
    target
        Number of candidates of the best of n that is to be reached.
    """
    measured = []
    for name, curve in yardstick.metrics.items():
        values = np.stack([one.metrics[name][:, 0] for one in found])
        same = np.stack([at(of_seed, one.clips) for of_seed, one in zip(curve, found, strict=True)])
        told = (values, values - curve[..., 0], values - same, values - curve[..., target - 1])
        measured.append(Measured(name, *map(over_prompts, told)))
    for name, curve in yardstick.diversity.items():
        values = np.array([one.diversity[name][0] for one in found])
        same = np.array([at(of_seed, one.clips) for of_seed, one in zip(curve, found, strict=True)])
        told = (values, values - curve[:, 0], values - same, values - curve[:, target - 1])
        # of a set of clips, which no resampled prompts stand for
        measured.append(Measured(name, *(Estimate(float(one.mean())) for one in told)))
    return measured


def at(curve: Array, clips: float) -> Array:
    """Return a curve `[..., N]` over n = 1 to N at a number of clips between two n, by interpolation."""
    place = min(max(clips, 1.0), float(curve.shape[-1])) - 1
    below = int(place)
    above = min(below + 1, curve.shape[-1] - 1)
    found: Array = curve[..., below] + (place - below) * (curve[..., above] - curve[..., below])
    return found


def over_prompts(values: Array) -> Estimate:
    """Return the mean of values `[S, P]` and its interval over seeds and prompts; of few prompts there is none."""
    return resampled_mean(values) if values.shape[1] >= FEWEST else Estimate(float(values.mean()))


def _curve(rewards: Array, metric: Array) -> Array:
    """Return what best of n brings for each n, `[P, N]`."""
    return np.stack([best_of_n(rewards, metric, n) for n in range(1, rewards.shape[1] + 1)], axis=1)
