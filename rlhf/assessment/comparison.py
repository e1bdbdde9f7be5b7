"""Trained models against the one they began as, on the same prompts with the same noise.

Differences are paired: the clip of a prompt and candidate by one model less that by the other, of the same noise. Their
mean has a 95 % interval over prompts (`music.intervals`). What belongs to a set of clips and not to a
clip has none: a resample holds clips twice, which lowers the Vendi score and raises the distance to real clips, so that
an interval from resamples would lie beside the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np

from music.intervals import Array, Estimate, estimate_mean
from scaling.estimators import best_of_n

BASE = "base"
REWARD = "reward"
PROXY, JUDGE, DIVERGENCE, DIVERSITY, SOUND = KINDS = ("proxy", "judge", "divergence", "diversity", "sound")
_NONE = Estimate(nan)


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of a model.

    Attributes
    ----------
    name
        Name of the model.
    metrics
        Metrics by name, `[P, N]` (prompts, candidates), or `[P, 1]` for what is a prompt's; NaN where a judge cannot
        score. The reward is among them.
    of_all
        Metrics of all its clips together, by name.
    """

    name: str
    metrics: Mapping[str, Array]
    of_all: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """What a number is.

    Attributes
    ----------
    name
        Name in `Measured`.
    kind
        Kind, one of `KINDS`.
    independent
        Whether a judge shares no features with the reward.
    """

    name: str
    kind: str
    independent: bool | None = None


@dataclass(frozen=True)
class MetricOfModel:
    """A metric of a model: a row of ``metrics.csv``.

    Attributes
    ----------
    model
        Name of the model; `BASE` is what the others are compared with.
    metric
        The metric.
    best_of
        Number of candidates that the reward picks from; 1 is a single one.
    value
        Its mean.
    difference
        Difference from the base's clips, picked alike; of what is picked from the base, from its single clips; None for
        those.
    """

    model: str
    metric: Metric
    best_of: int
    value: Estimate
    difference: Estimate | None

    def row(self) -> dict[str, Any]:
        """Return the columns of ``metrics.csv``; what is not known is None."""
        difference = self.difference or _NONE
        independent = {True: "yes", False: "no", None: ""}[self.metric.independent]
        return {
            "model": self.model,
            "metric": self.metric.name,
            "kind": self.metric.kind,
            "independent": independent,
            "best_of": self.best_of,
            **self.value.columns("mean", "low", "high"),
            **difference.columns("difference", "difference_low", "difference_high"),
            "prompts": self.value.prompts,
            "clips": self.value.rows,
        }


def compare(
    models: Sequence[Measured], metrics: Sequence[Metric], numbers: Sequence[int] = (1,), seed: int = 0
) -> list[MetricOfModel]:
    """Return a line for each model and metric, and for proxy and judges each number of candidates to pick from.

    Parameters
    ----------
    models
        The base, then the others.
    metrics
        Metrics to tell, in this order; one that a model does not have has no line.
    numbers
        Numbers of candidates to pick from.
    seed
        Seed of the resampling.
    """
    base, lines = models[0], []
    for model in models:
        for metric in metrics:
            if metric.name in model.of_all:
                own, before = (one.of_all[metric.name] for one in (model, base))
                moved = None if model is base else Estimate(own - before)
                lines.append(MetricOfModel(model.name, metric, 1, Estimate(own), moved))
        for n in numbers:
            for metric in metrics:
                if metric.name not in model.metrics or (n > 1 and metric.kind not in (PROXY, JUDGE)):
                    continue
                picked = _picked(model, metric.name, n)
                if model is not base:
                    moved = difference(model, base, metric.name, n, seed)
                elif n > 1:
                    moved = _mean(picked - base.metrics[metric.name], seed)
                else:
                    moved = None
                value = _mean(picked, seed)
                lines.append(MetricOfModel(model.name, metric, n, value, moved))
    return lines


def difference(one: Measured, other: Measured, metric: str, n: int = 1, seed: int = 0) -> Estimate:
    """Return the mean difference of a metric between two models, paired, on the prompts that both have it of."""
    return _mean(_picked(one, metric, n) - _picked(other, metric, n), seed)


def _picked(model: Measured, metric: str, n: int) -> Array:
    """Return a metric of single candidates `[P, N]`, or of the reward's best of n `[P, 1]`."""
    values = model.metrics[metric]
    return values if n == 1 else best_of_n(model.metrics[REWARD], values, n)[:, None]


def _mean(values: Array, seed: int) -> Estimate:
    """Return the mean of those prompts `[P, N]` that have no NaN."""
    known = values[~np.isnan(values).any(axis=1)]
    if not len(known):
        return _NONE
    return estimate_mean(known.ravel().tolist(), np.arange(len(known)).repeat(known.shape[1]).tolist(), seed)
