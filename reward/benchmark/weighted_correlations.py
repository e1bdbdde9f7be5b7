"""Correlations of many resamples of the same rows at once.

A resample is how often each row comes in it. With w these counts and s(x)ij the sign of x_i - x_j, entries multiplied
one by one, Kendall's tau b (Kendall 1945) is

    w' s(x) s(y) w / sqrt(w' |s(x)| w  w' |s(y)| w).

The rank of a row, ties shared, is half of sum_j w_j (1 + s(x)ij), and one half; Spearman's correlation is Pearson's of
these ranks. So all resamples together are a few products of matrices.
"""

import numpy as np

from music.intervals import Array

_BLOCK = 512  # rows of s(x) at a time, which has one for each row and a column for each


def correlations_of_resamples(values: Array, weights: Array) -> dict[str, Array]:
    """Return SRCC, LCC and K-Tau (b) of each resample, `[R]`; NaN where a side is constant.

    Parameters
    ----------
    values
        Two numbers a row, `[n, 2]`.
    weights
        How often each row comes in each resample, `[R, n]`.
    """
    x, y = values.T
    ranks_x, ranks_y = np.empty_like(weights), np.empty_like(weights)
    agreeing, apart_x, apart_y = np.zeros((3, len(weights)))
    for start in range(0, len(values), _BLOCK):
        block = slice(start, start + _BLOCK)
        own, signs = weights[:, block], [np.sign(side[block, None] - side) for side in (x, y)]
        ranks_x[:, block], ranks_y[:, block] = (weights @ one.T / 2 for one in signs)
        agreeing += ((weights @ (signs[0] * signs[1]).T) * own).sum(axis=1)
        apart_x += ((weights @ np.abs(signs[0]).T) * own).sum(axis=1)
        apart_y += ((weights @ np.abs(signs[1]).T) * own).sum(axis=1)
    varies = (apart_x > 0) & (apart_y > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "SRCC": _pearson(ranks_x, ranks_y, weights),
            "LCC": _pearson(x, y, weights),
            "K-Tau": agreeing / np.sqrt(apart_x * apart_y),
        }
    return {name: np.where(varies, numbers, np.nan) for name, numbers in found.items()}


def _pearson(x: Array, y: Array, weights: Array) -> Array:
    """Return the correlation in each resample; a side is `[n]`, or `[R, n]` where it differs between them."""
    total = weights.sum(axis=1, keepdims=True)
    x, y = (side - (weights * side).sum(axis=1, keepdims=True) / total for side in (x, y))
    products = [(weights * one * other).sum(axis=1) for one, other in ((x, y), (x, x), (y, y))]
    return products[0] / np.sqrt(products[1] * products[2])
