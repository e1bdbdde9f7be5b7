"""What best of n is worth, for every n at once, from one pool of N candidates a prompt.

The mean over all n-subsets of the candidates is an unbiased estimate of best of n, with far less noise than
taking the first n. Sort the candidates of a prompt by reward, r_(1) <= ... <= r_(N): the i-th is the best of
C(i-1, n-1) of the C(N, n) subsets, so

    E[best of n] = sum_i  C(i-1, n-1) / C(N, n)  r_(i)

and any other metric of the chosen candidate takes the same weights in the same order, that of the reward.
Between equal rewards the candidate with the lowest index wins, as in `scaling.choose_best`.
"""

from math import comb

import numpy as np
from numpy.typing import NDArray

from music.intervals import Array


def order_weights(total: int, n: int) -> Array:
    """Return C(i-1, n-1) / C(total, n) for i = 1 .. total: the chance that the i-th is the best of n.

    Raises
    ------
    ValueError
        If not 1 <= n <= total.
    """
    if not 1 <= n <= total:
        raise ValueError(f"best of {n} needs at least {n} of {total} candidates")
    subsets = comb(total, n)
    return np.array([comb(i - 1, n - 1) / subsets for i in range(1, total + 1)])


def ascending(rewards: Array) -> NDArray[np.int64]:
    """Return the order of each prompt's candidates, worst first, `[P, N]`; of equals the lowest is last."""
    index = np.broadcast_to(np.arange(rewards.shape[1]), rewards.shape)
    return np.lexsort((-index, rewards), axis=-1)


def best_of_n(rewards: Array, metric: Array, n: int) -> Array:
    """Estimate the metric of the candidate that the reward picks among n.

    Parameters
    ----------
    rewards
        Rewards, which decide, `[P, N]` (prompts, candidates).
    metric
        Metric to measure on the chosen candidate, `[P, N]`; may be `rewards` itself.
    n
        Number of candidates to choose from, 1 to N.

    Returns
    -------
    Array
        `[P]`, unbiased for each prompt.
    """
    in_order = np.take_along_axis(metric, ascending(rewards), axis=1)
    return in_order @ order_weights(rewards.shape[1], n)


def count_ties(rewards: Array) -> int:
    """Return for how many prompts (rows of `[P, N]`) more than one candidate has the best reward."""
    return int(((rewards == rewards.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
