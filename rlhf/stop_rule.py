"""When a post-training has begun to please the reward only: a judge falls beyond its interval while the reward rises.

The last round is compared with the best one before it by each judge's metric, the start among them, paired by prompt
and candidate: where the 95 % interval of the difference lies wholly below 0 and the reward is higher than it was then,
the judge no longer believes the reward (arXiv 2210.10760 has the curves). With fewer prompts than intervals need
(`reward.benchmark.intervals.FEWEST`) nothing is known, and nothing stops.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from music.errors import InputError
from rlhf.comparison import JUDGE, REWARD, Measured, Metric, difference
from scaling.judging import split_names


def watched(metrics: Sequence[Metric], names: str | None) -> list[str]:
    """Return which judges' metrics end a training.

    Parameters
    ----------
    metrics
        All that there are.
    names
        Those, with commas between; by default all of independent judges.

    Raises
    ------
    InputError
        If a name is no metric of a judge.
    """
    judges = {one.name: one.independent for one in metrics if one.kind == JUDGE}
    if names is None:
        return [name for name, independent in judges.items() if independent]
    for name in split_names(names):
        if name not in judges:
            raise InputError(
                f"--stop_on {name}: expected metrics of --judges, which are {', '.join(judges) or 'none'}"
            )
    return split_names(names)


def fallen(models: Sequence[Measured], names: Sequence[str], seed: int = 0) -> str | None:
    """Return why training should end with the last of some models; None if it should not.

    Parameters
    ----------
    models
        The start, then a model a round.
    names
        The metrics that are watched.
    seed
        Of the resampling.
    """
    *earlier, last = models
    for name in names:
        known = [one for one in earlier if np.isfinite(one.metrics[name]).any()]
        if not known:
            continue
        best = max(known, key=lambda one: float(np.nanmean(one.metrics[name])))
        judged, rewarded = (difference(last, best, metric, seed=seed) for metric in (name, REWARD))
        if judged.high < 0 < rewarded.value:
            return (
                f"{name} of {last.name} is {judged.value:+.4g} [{judged.low:+.4g}, {judged.high:+.4g}] against "
                f"{best.name}, while the reward is {rewarded.value:+.4g}"
            )
    return None
