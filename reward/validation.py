"""How well a head orders pairs that it was not trained on."""

import dataclasses
from typing import Any

import torch

from reward.batches import PairData
from reward.bradley_terry import accuracy_of, losses_of
from reward.cmi_rm.head import ALIGNMENT, MUSICALITY, RewardHead
from reward.pair_model import PairModel


@torch.no_grad()
def score_differences(head: RewardHead, data: PairData, batch_size: int) -> torch.Tensor:
    """Return score of a minus score of b of every pair `[N, 2]`, columns alignment and musicality."""
    device = next(head.parameters()).device
    model = PairModel(head).eval()
    parts = []
    for start in range(0, len(data), batch_size):
        batch = data.batch(range(start, min(start + batch_size, len(data)))).to(device)
        scores = model(batch)
        parts.append((scores[0] - scores[1]).float().cpu())
    return torch.cat(parts)


def validate(head: RewardHead, data: PairData, batch_size: int) -> dict[str, Any]:
    """Return the loss (mean over heads, smoothed as in training) and, for each head, loss and accuracy.

    The head is left in eval mode.
    """
    differences = score_differences(head, data, batch_size)
    losses = losses_of(differences, data.targets) * data.weights
    counts = data.weights.sum(dim=0)
    found: dict[str, Any] = {}
    for name, column in (("musicality", MUSICALITY), ("alignment", ALIGNMENT)):
        labels = [getattr(row, name) for row in data.rows]
        counted = dataclasses.asdict(accuracy_of(differences[:, column].tolist(), labels))
        value = counted.pop("value")  # NaN without pairs, which JSON lacks
        accuracy = {"accuracy": value if counted["pairs"] else None, **counted}
        found[name] = {"loss": (losses[:, column].sum() / counts[column].clamp(min=1)).item(), **accuracy}
    judged = [name for name in found if found[name]["pairs"]]
    return {"loss": sum(found[name]["loss"] for name in judged) / max(1, len(judged)), **found}
