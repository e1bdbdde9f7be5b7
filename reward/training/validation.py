"""How well a head orders pairs, and rates clips, that it was not trained on."""

import dataclasses
from typing import Any

import torch

from reward.bradley_terry import accuracy_of, calibration_error_of, cross_entropy_of, losses_of
from reward.cmi_rm.head import COLUMNS, RewardHead
from reward.training.batches import JudgementData
from reward.training.objective import BatchModel, Objective


@torch.no_grad()
def outputs_of(head: RewardHead, data: JudgementData, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs of a and b of every pair `[P, 2, O]`, and those of every rated clip `[R, O]`.

    Both have the order of the rows, and lie where the head does. It is left in eval mode.
    """
    device = next(head.parameters()).device
    model = BatchModel(head).eval()
    of_pair: dict[int, torch.Tensor] = {}
    of_clip: dict[int, torch.Tensor] = {}
    order = sorted(range(len(data)), key=data.lengths)  # rows of like length share a batch: little padding
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        batch = data.batch(indices).to(device)
        outputs, pairs = model(batch).float(), len(batch.targets)
        rows = [indices[place] for place in batch.places.tolist()]
        both = torch.stack([outputs[:pairs], outputs[pairs : 2 * pairs]], dim=1)
        of_pair |= dict(zip(rows[:pairs], both, strict=True))
        of_clip |= dict(zip(rows[pairs:], outputs[2 * pairs :], strict=True))
    none = torch.empty(0, 2, head.outputs, device=device)
    return _stacked(of_pair, none), _stacked(of_clip, none[:, 0])


def _stacked(found: dict[int, torch.Tensor], none: torch.Tensor) -> torch.Tensor:
    return torch.stack([found[row] for row in sorted(found)]) if found else none


@torch.no_grad()
def scores_of(head: RewardHead, data: JudgementData, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-odds that a is preferred to b of every pair `[P, 2]`, and the score of every rated clip `[R, 2]`.

    The columns are alignment and musicality; both have the order of the rows. The log-odds of a published head are
    score of a minus score of b.
    """
    pairs, clips = outputs_of(head, data, batch_size)
    return head.log_odds(*pairs.unbind(dim=1)).cpu(), head.scores(clips).cpu()


@torch.no_grad()
def validate(model: Objective, data: JudgementData, batch_size: int) -> dict[str, Any]:
    """Return the loss (mean over heads, smoothed as in training) and, for each head, how good it is.

    A head has a `loss`; for pairs the `accuracy` with its interval, the `cross_entropy` of unsmoothed labels, and
    `ece`, the calibration error, of the probabilities that it gives; and where clips are rated, their number and
    `srcc`, Spearman's correlation of scores with ratings. The head is left in eval mode.
    """
    from scipy.stats import spearmanr

    head = model.scores.head
    of_pairs, of_clips = outputs_of(head, data, batch_size)
    log_odds, scores = head.log_odds(*of_pairs.unbind(dim=1)).cpu(), head.scores(of_clips).cpu()
    pairs, clips = data.preferences, data.rated
    targets, pair_weights = data.targets(pairs)
    ratings, rating_weights = data.ratings(clips)
    losses = (losses_of(log_odds, targets) * pair_weights).sum(dim=0)
    if clips:
        errors = model.rating_losses(of_clips, ratings.to(of_clips.device)).cpu()
        losses += (errors * rating_weights).sum(dim=0)
    counts = pair_weights.sum(dim=0) + rating_weights.sum(dim=0)
    found: dict[str, Any] = {}
    for name, column in COLUMNS.items():
        gaps, labels = log_odds[:, column].tolist(), [getattr(row, name) for row in pairs]
        counted = dataclasses.asdict(accuracy_of(gaps, labels))
        value = counted.pop("value")  # NaN without pairs, which JSON lacks
        accuracy = {"accuracy": value if counted["pairs"] else None, **counted}
        found[name] = {
            "loss": (losses[column] / counts[column].clamp(min=1)).item(),
            **accuracy,
            "cross_entropy": cross_entropy_of(gaps, labels),
            "ece": calibration_error_of(gaps, labels),
        }
        judged = rating_weights[:, column] > 0
        if judged.any():
            both = scores[judged, column], ratings[judged, column]
            varied = all(len(values.unique()) > 1 for values in both)
            order = float(spearmanr(*both).statistic) if varied else None
            found[name] |= {"rated": int(judged.sum()), "srcc": order}
    judged_heads = [name for name, column in COLUMNS.items() if counts[column]]
    return {"loss": sum(found[name]["loss"] for name in judged_heads) / max(1, len(judged_heads)), **found}
