"""How many different things a generator makes: a reward can rise because it always makes the same one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def vendi_score(embeddings: Array) -> float:
    """Return the Vendi score (arXiv 2210.02410): how many entirely different clips would be as diverse as these.

    It is exp(-sum_i l_i log l_i) over the eigenvalues l of K / n, with K the cosines of all pairs.

    Parameters
    ----------
    embeddings
        `[n, D]`, of any length but 0.

    Returns
    -------
    float
        From 1, all the same, to n.
    """
    unit = _unit(embeddings)
    # the eigenvalues of K / n that are not 0 are those of the smaller of unit unit' and unit' unit
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    values = np.linalg.eigvalsh(gram / len(unit)).clip(min=0.0)
    values = values[values > 0] / values.sum()
    return float(np.exp(-(values * np.log(values)).sum()))


def distance_within(embeddings: Sequence[Array]) -> list[float]:
    """Return the mean cosine distance between two clips of each prompt.

    Parameters
    ----------
    embeddings
        `[n, D]` of each prompt, n at least 2.
    """
    found = []
    for rows in embeddings:
        unit = _unit(rows)
        cosines = unit @ unit.T
        count = len(unit)
        found.append(float(1 - (cosines.sum() - np.trace(cosines)) / (count * (count - 1))))
    return found


def kernel_audio_distance(made: Array, real: Array) -> float:
    """Return the kernel audio distance (KAD, arXiv 2502.15602): 1,000 times the unbiased squared MMD.

    The kernel is Gaussian, as wide as the median distance between two real clips. About 0 where both are of one
    distribution, and below it by chance.

    Parameters
    ----------
    made, real
        Embeddings `[n, D]` and `[m, D]`, at least two each.
    """
    width = np.median(np.sqrt(_squares(real, real)[np.triu_indices(len(real), 1)]))

    def kernel(one: Array, other: Array) -> Array:
        return np.exp(-_squares(one, other) / (2 * width**2))

    def mean_of_others(of: Array) -> float:
        return float((of.sum() - np.trace(of)) / (len(of) * (len(of) - 1)))

    within = mean_of_others(kernel(made, made)) + mean_of_others(kernel(real, real))
    return 1_000 * (within - 2 * float(kernel(made, real).mean()))


def _squares(one: Array, other: Array) -> Array:
    """Return the squared distance of each row of one to each of the other."""
    found = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return found.clip(min=0.0)


def _unit(embeddings: Array) -> Array:
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
