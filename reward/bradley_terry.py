"""Bradley-Terry: P(a preferred) = sigmoid(score of a - score of b); its loss, its fit, accuracy and calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from music.intervals import Array, wilson_interval

CALIBRATION_BINS = 10


def targets_of(labels: Sequence[str], smoothing: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the targets P(a preferred) `[N]` and weights `[N]` of labels.

    A smoothing of 0.2 turns 1 and 0 into 0.9 and 0.1. Ties and missing labels have weight 0, as in the paper.
    """
    values = {"a": 1 - smoothing / 2, "b": smoothing / 2}
    targets = torch.tensor([values.get(label, 0.5) for label in labels], dtype=torch.float32)
    weights = torch.tensor([float(label in values) for label in labels])
    return targets, weights


def losses_of(differences: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of each difference `score of a - score of b`, in nats; any shape."""
    return F.binary_cross_entropy_with_logits(differences, targets, reduction="none")


def fit_strengths(wins: Array) -> Array:
    """Return the strengths `[M]` of M contestants that make their wins most likely, in nats; their mean is 0.

    Half a win is added to either side of each pair (the correction of log-odds by Haldane and Anscombe), without which
    a contestant that never lost would be infinitely strong.

    Parameters
    ----------
    wins
        `[M, M]`: how often the row beat the column, a tie being half a win for both; the diagonal is 0.
    """
    import choix

    return choix.ilsr_pairwise_dense(wins + 0.5 * (1 - np.eye(len(wins))), max_iter=10_000)


@dataclass(frozen=True)
class Accuracy:
    """Share of pairs in which the preferred one had the higher score.

    Attributes
    ----------
    value
        The share, in [0, 1]; equal scores count half. NaN without pairs.
    low, high
        95 % Wilson interval.
    pairs
        Number of pairs that were counted; those that listeners called a tie are left out.
    equal
        Number of these whose scores were equal.
    """

    value: float
    low: float
    high: float
    pairs: int
    equal: int


def accuracy_of(differences: Sequence[float], labels: Sequence[str]) -> Accuracy:
    """Return the accuracy of differences `score of a - score of b` against labels ``a, b, tie`` or empty."""
    leads = _leads(differences, labels)
    equal = leads.count(0)
    right = sum(lead > 0 for lead in leads) + equal / 2
    low, high = wilson_interval(right, len(leads))
    return Accuracy(right / len(leads) if leads else math.nan, low, high, len(leads), equal)


def cross_entropy_of(differences: Sequence[float], labels: Sequence[str]) -> float | None:
    """Return the mean of -log P(what listeners preferred), in nats, over pairs that are no ties; None without any."""
    chances = _chances(differences, labels)
    return -sum(math.log(max(chance, 1e-12)) for chance in chances) / len(chances) if chances else None


@dataclass(frozen=True)
class Sureness:
    """Pairs of which a model was about equally sure.

    Attributes
    ----------
    pairs
        Number of pairs.
    sure
        Mean of the probability that the model gave to the clip that it prefers, 1/2 to 1.
    right
        Share of pairs in which listeners preferred it too; even chances count half.
    """

    pairs: int
    sure: float
    right: float


def reliability_of(
    differences: Sequence[float], labels: Sequence[str], bins: int = CALIBRATION_BINS
) -> list[Sureness]:
    """Return pairs that are no ties by how sure the model is, in bins of equal width from 1/2 to 1."""
    found: dict[int, list[tuple[float, float]]] = {}
    for chance in _chances(differences, labels):
        sure = max(chance, 1 - chance)
        right = 0.5 if chance == 0.5 else float(chance > 0.5)
        found.setdefault(min(bins - 1, int((sure - 0.5) * 2 * bins)), []).append((sure, right))
    groups = (found[place] for place in sorted(found))
    return [
        Sureness(len(group), *(math.fsum(part) / len(group) for part in zip(*group, strict=True)))
        for group in groups
    ]


def calibration_error_of(
    differences: Sequence[float], labels: Sequence[str], bins: int = CALIBRATION_BINS
) -> float | None:
    """Return the expected calibration error (Naeini et al. 2015) over pairs that are no ties; None without any.

    It is the mean over pairs of |share that is right - mean sureness| of their bin (`reliability_of`); 0 is perfect.
    """
    found = reliability_of(differences, labels, bins)
    pairs = sum(one.pairs for one in found)
    return sum(one.pairs * abs(one.right - one.sure) for one in found) / pairs if pairs else None


def _chances(differences: Sequence[float], labels: Sequence[str]) -> list[float]:
    """Return the probability that the model gives to what listeners preferred, for each pair that is no tie."""
    return torch.tensor(_leads(differences, labels), dtype=torch.float64).sigmoid().tolist()


def _leads(differences: Sequence[float], labels: Sequence[str]) -> list[float]:
    """Return score of the preferred one minus score of the other, for each pair that is no tie."""
    signs = {"a": 1.0, "b": -1.0}
    return [signs[label] * diff for diff, label in zip(differences, labels, strict=True) if label in signs]
