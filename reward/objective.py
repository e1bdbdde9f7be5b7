"""What training minimises: Bradley-Terry on preferences, and the error of ratings."""

import torch
from torch import nn

from reward.batch_model import BatchModel
from reward.batches import Batch
from reward.bradley_terry import losses_of
from reward.cmi_rm.head import RewardHead
from reward.rating_map import RatingMap


class Objective(nn.Module):
    """The head with what its training needs beside it: the map from scores to ratings, which is left behind.

    Parameters
    ----------
    head
        To be trained.
    ratings
        How scores are compared with ratings.
    """

    def __init__(self, head: RewardHead, ratings: RatingMap) -> None:
        super().__init__()
        self.scores, self.ratings = BatchModel(head), ratings

    def forward(self, batch: Batch, seed: int | None = None) -> torch.Tensor:
        """Return the sum of losses over what is judged in a batch `[2]`, columns alignment and musicality.

        `seed` is that of the step's dropout; see `BatchModel`.
        """
        scores, pairs = self.scores(batch, seed).float(), len(batch.targets)
        differences = scores[:pairs] - scores[pairs : 2 * pairs]
        sums = (losses_of(differences, batch.targets) * batch.pair_weights).sum(dim=0)
        if len(batch.ratings):
            errors = self.ratings.losses(scores[2 * pairs :], batch.ratings)
            sums = sums + (errors * batch.rating_weights).sum(dim=0)
        return sums
