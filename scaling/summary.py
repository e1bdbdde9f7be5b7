"""``summary.json``: what each n brings, with intervals, from the scores of one pool."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from music.errors import InputError
from scaling.estimators import Array, best_of_n, bootstrap_interval, count_ties

_STEPS = (1, 2, 3, 5, 10, 15, 20, 30, 50, 100, 150, 200, 300, 500, 1000)
_ALL = 100  # up to here every n is measured


def steps(n: int) -> list[int]:
    """Return the numbers of candidates to show in a table: 1, 2, 3, 5, 10, ... below n, and n itself."""
    return sorted({step for step in _STEPS if step < n} | {n})


def measured_numbers(n: int) -> list[int]:
    """Return the numbers of candidates to measure: all from 1 to n, above 100 only those of the table."""
    return sorted({*range(1, min(n, _ALL) + 1), *steps(n)})


def summarise(rewards: Array, metrics: Mapping[str, Array], seed: int) -> dict[str, Any]:
    """Return ``by_n``, ``gain`` and ``ties`` of ``summary.json``.

    Parameters
    ----------
    rewards
        `[P, N]` (prompts, candidates): what chooses.
    metrics
        What else is measured, by name, `[P, N]` each; none may be called "reward".
    seed
        Of the bootstrap over prompts.

    Returns
    -------
    dict
        ``by_n[str(n)][metric] = {"mean", "ci95": [low, high]}`` for every n of `measured_numbers`;
        ``gain[metric]`` the same for n = N minus n = 1, paired over prompts; ``ties`` the number of prompts
        whose best reward is shared.

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
    numbers = measured_numbers(rewards.shape[1])
    columns = {(n, name): best_of_n(rewards, values, n) for n in numbers for name, values in measured.items()}
    for name in measured:
        columns[0, name] = columns[numbers[-1], name] - columns[1, name]  # n = 0 stands for the gain
    entries = dict(zip(columns, _entries(np.stack(list(columns.values()), axis=1), seed), strict=True))
    return {
        "by_n": {str(n): {name: entries[n, name] for name in measured} for n in numbers},
        "gain": {name: entries[0, name] for name in measured},
        "ties": count_ties(rewards),
    }


def _entries(values: Array, seed: int) -> Sequence[dict[str, Any]]:
    low, high = bootstrap_interval(values, seed)
    return [
        {"mean": float(mean), "ci95": [float(lower), float(upper)]}
        for mean, lower, upper in zip(values.mean(axis=0), low, high, strict=True)
    ]
