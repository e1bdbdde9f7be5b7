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

Array = NDArray[np.float64]
_CHUNK = 500  # bootstrap resamples held in memory at a time


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
        What decides, `[P, N]` (prompts, candidates).
    metric
        What is measured on the chosen candidate, `[P, N]`; may be `rewards` itself.
    n
        How many candidates there are to choose from, 1 to N.

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


def bootstrap_means(values: Array, seed: int, resamples: int = 10_000) -> Array:
    """Return the means of resampled prompts, `[R, K]`.

    Every column sees the same resampled prompts, so differences and ratios of columns are paired.

    Parameters
    ----------
    values
        `[P, K]`: K quantities of P prompts.
    seed
        Of the resampling.
    resamples
        How many, R.
    """
    generator = np.random.default_rng(seed)
    prompts = values.shape[0]
    means = []
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        drawn = generator.integers(prompts, size=(size, prompts)) + prompts * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * prompts).reshape(size, prompts)
        means.append(counts.astype(float) @ values / prompts)
    return np.concatenate(means)


def percentile_interval(resampled: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Return the ends, `[K]` each, between which a share `level` of the resampled means `[R, K]` lies.

    With one prompt both are its value: there is nothing to resample.
    """
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return low, high
