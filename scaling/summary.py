"""``summary.json``: what each n brings, with intervals, from the scores of one pool."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from music.errors import InputError
from music.intervals import FEWEST, Array, bootstrap_means, percentile_interval
from scaling.estimators import best_of_n, count_ties

_STEPS = (1, 2, 3, 5, 10, 15, 20, 30, 50, 100, 150, 200, 300, 500, 1000)
_ALL = 100  # up to here every n is measured


def steps(n: int) -> list[int]:
    """Return the numbers of candidates to show in a table: 1, 2, 3, 5, 10, ... below n, and n itself."""
    return sorted({step for step in _STEPS if step < n} | {n})


def measured_numbers(n: int) -> list[int]:
    """Return the numbers of candidates to measure: all from 1 to n, above 100 only those of the table."""
    return sorted({*range(1, min(n, _ALL) + 1), *steps(n)})


def summarise(
    rewards: Array, metrics: Mapping[str, Array], seed: int, twins: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return ``by_n``, ``gain``, ``captured``, ``reached`` and ``ties`` of ``summary.json``.

    Parameters
    ----------
    rewards
        Rewards, which choose, `[P, N]` (prompts, candidates).
    metrics
        Further metrics by name, `[P, N]` each; none may be called "reward".
    seed
        Seed of the bootstrap over prompts.
    twins
        For some metrics the one by which another judge measures the same thing.

    Returns
    -------
    dict
        ``by_n[str(n)][metric] = {"mean", "ci95": [low, high], "gain": {"mean", "ci95"}}`` for every n of
        `measured_numbers`, the gain over n = 1 paired over prompts; ``gain[metric]`` that of n = N;
        ``captured[metric] = {"share", "ci95"}`` that gain as a share of what choosing by the metric itself
        would gain, None if that is nothing; ``reached[metric]`` as a share of what choosing by its twin gains in it,
        for those that have one: a metric that chooses for itself gains by its own errors too; ``ties`` the number of
        prompts whose best reward is shared. Of fewer than `music.intervals.FEWEST` prompts there is
        no interval: each ``ci95`` is None.

    Raises
    ------
    InputError
        If a score is not finite or a metric is called "reward".
    """
    if "reward" in metrics:
        raise InputError("a metric cannot be called 'reward': that is the name of the weighted sum")
    measured = {"reward": rewards, **metrics}
    for name, values in measured.items():
        if not np.isfinite(values).all():
            raise InputError(f"metric {name!r} holds values that are not finite")
    total = rewards.shape[1]
    numbers = measured_numbers(total)
    chosen = {(n, name): best_of_n(rewards, values, n) for n in numbers for name, values in measured.items()}
    gains = {(n, name): values - chosen[1, name] for (n, name), values in chosen.items()}
    possible = {name: best_of_n(values, values, total) - chosen[1, name] for name, values in measured.items()}
    pairs = {name: twin for name, twin in (twins or {}).items() if name in metrics and twin in metrics}
    reachable = {
        name: best_of_n(metrics[twin], metrics[name], total) - chosen[1, name] for name, twin in pairs.items()
    }
    columns = [*chosen.values(), *gains.values(), *possible.values(), *reachable.values()]
    resampled = bootstrap_means(np.stack(columns, axis=1), seed)
    entries = mean_entries(columns, resampled)
    level, gain = (
        dict(zip(chosen, entries[start : start + len(chosen)], strict=True)) for start in (0, len(chosen))
    )
    place = {name: len(chosen) + len(gains) - len(measured) + row for row, name in enumerate(measured)}

    def share(name: str, of: Array, where: int) -> dict[str, Any] | None:
        return _share(gains[total, name], of, resampled[:, [place[name], where]])

    first = len(chosen) + len(gains)
    return {
        "by_n": {
            str(n): {name: {**level[n, name], "gain": gain[n, name]} for name in measured} for n in numbers
        },
        "gain": {name: gain[total, name] for name in measured},
        "captured": {name: share(name, possible[name], first + index) for index, name in enumerate(measured)},
        "reached": {
            name: share(name, reachable[name], first + len(measured) + index)
            for index, name in enumerate(reachable)
        },
        "ties": count_ties(rewards),
    }


def mean_entries(columns: Sequence[Array], resampled: Array) -> list[dict[str, Any]]:
    """Return mean and interval of columns `[P]`, whose resampled means are `[R, K]`; see `summarise`."""
    low, high = percentile_interval(resampled)
    return [
        {
            "mean": float(column.mean()),
            "ci95": [float(lower), float(upper)] if len(column) >= FEWEST else None,
        }
        for column, lower, upper in zip(columns, low, high, strict=True)
    ]


def _share(gain: Array, possible: Array, resampled: Array) -> dict[str, Any] | None:
    """Return the share of the possible gain; `resampled` holds both, `[R, 2]`."""
    if possible.mean() <= 0:
        return None
    ratios = resampled[:, :1] / np.maximum(resampled[:, 1:], np.finfo(float).tiny)
    low, high = percentile_interval(ratios)
    interval = [float(low[0]), float(high[0])] if len(gain) >= FEWEST else None
    return {"share": float(gain.mean() / possible.mean()), "ci95": interval}
