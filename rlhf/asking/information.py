"""Pairs from which a Bradley-Terry model learns most: D-optimal design, as arXiv 2502.04354 applies it to rewards.

A score is linear in what the last layer is given: score = w . h. Of that layer alone, with all below it held fixed, an
answer about clips a and b has the Fisher information

    p (1 - p) d d^T,    d = h_a - h_b,    p = sigmoid(score of a - score of b),

which is largest where the model is undecided and the clips lie far apart. Answers add up. A question about each of M
scores is answered for a pair, so there are M matrices

    A_m = I + sum over the pairs asked so far of p_m (1 - p_m) d d^T,

where I, the information before any answer, keeps them invertible; h is scaled so that the mean of d . d over all open
pairs is the number of dimensions. Pairs are taken one by one, each time that which raises the sum of log det A_m most,
which it does by sum over m of log(1 + p_m (1 - p_m) d^T A_m^-1 d). That is greedy: no pair is taken back. p is that of
the present model, for earlier pairs too. The score of an ensemble is linear in the features of all of its heads side by
side, and is the mean over heads. All prompts compete, but each gets the number of questions that it is due.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from music.intervals import Array

Pair = tuple[int, int]


def most_informative(
    features: Array,
    scores: Array,
    open_pairs: Sequence[Sequence[Pair]],
    asked: Sequence[set[Pair]],
    counts: Sequence[int],
) -> list[list[Pair]]:
    """Return the pairs of each prompt, in the order in which they were taken.

    Parameters
    ----------
    features
        Inputs of the last layer of N candidates of P prompts, `[P, N, D]`.
    scores
        Scores of them, `[P, N, M]`.
    open_pairs
        Pairs to choose from, of each prompt.
    asked
        Pairs that were asked about before, of each prompt.
    counts
        Number of pairs to take of each prompt.
    """
    flat = [(place, pair) for place, pairs in enumerate(open_pairs) for pair in pairs]
    chosen: list[list[Pair]] = [[] for _ in counts]
    if not flat:
        return chosen
    differences = _differences(features, flat)
    typical = np.sqrt(np.mean(np.sum(differences**2, axis=1)) / features.shape[2]) or 1.0
    differences /= typical
    uncertainty = _uncertainty(scores, flat)
    known = [(place, pair) for place, pairs in enumerate(asked) for pair in sorted(pairs)]
    inverses = _inverses(_differences(features, known) / typical, _uncertainty(scores, known))
    # d^T A_m^-1 d of each open pair and score, which an answer lowers
    unknown = np.stack([((differences @ one) * differences).sum(axis=1) for one in inverses], axis=1)
    due = np.array(counts)
    prompts = np.array([place for place, _ in flat])
    free = np.ones(len(flat), bool)
    while (allowed := free & (due[prompts] > 0)).any():
        gains = np.log1p(uncertainty * unknown).sum(axis=1)
        best = int(np.argmax(np.where(allowed, gains, -np.inf)))
        place, pair = flat[best]
        chosen[place].append(pair)
        free[best], due[place] = False, due[place] - 1
        for number, inverse in enumerate(inverses):
            moved = inverse @ differences[best]
            share = uncertainty[best, number] / (1 + uncertainty[best, number] * unknown[best, number])
            unknown[:, number] = np.maximum(unknown[:, number] - share * (differences @ moved) ** 2, 0.0)
            inverse -= share * np.outer(moved, moved)  # Sherman and Morrison
    return chosen


def _differences(features: Array, pairs: Sequence[tuple[int, Pair]]) -> Array:
    found = [features[place, a] - features[place, b] for place, (a, b) in pairs]
    return np.array(found).reshape(-1, features.shape[2])


def _uncertainty(scores: Array, pairs: Sequence[tuple[int, Pair]]) -> Array:
    """Return p (1 - p) of each pair and score, `[F, M]`."""
    leads = np.array([scores[place, a] - scores[place, b] for place, (a, b) in pairs]).reshape(
        -1, scores.shape[2]
    )
    chances = 1 / (1 + np.exp(-np.clip(leads, -500, 500)))
    return chances * (1 - chances)


def _inverses(differences: Array, uncertainty: Array) -> list[Array]:
    """Return the inverse of A_m for each score after the pairs that were asked about."""
    before: Array = np.eye(differences.shape[1])
    gained: list[Array] = [(differences * one[:, None]).T @ differences for one in uncertainty.T]
    return [np.asarray(np.linalg.inv(before + one), np.float64) for one in gained]
