"""What training minimises: Bradley-Terry on preferences, and the error of ratings.

A score s becomes a rating in one of these ways; at inference the score alone remains.

    tanh      2 tanh(a s + b) + 3, squared error: the published one, a = 0.2 and b = 0 at the start
    linear    a s + b + 3, squared error, the same start
    none      s itself, squared error
    ordinal   P(rating above k) = sigmoid(s - c_k) for k = 1 to 4, cross-entropy; a mean opinion of 3.4 is above 3
              with probability 0.4

a, b and c are learned, for each head its own. A head that gives distributions of ratings (`reward.cmi_rm.ordinal`) has
losses of its own for both, and no map.
"""

import torch
from torch import nn
from torch.nn import functional as F

from music.errors import InputError
from reward.bradley_terry import losses_of
from reward.cmi_rm.downsamplers import Stream
from reward.cmi_rm.dropout import Noise, lend_noise
from reward.cmi_rm.head import RewardHead
from reward.training.batches import Batch

KINDS = ("tanh", "linear", "none", "ordinal")
_STEPS = torch.tensor([1.0, 2.0, 3.0, 4.0])


class RatingMap(nn.Module):
    """Compares scores with ratings.

    Parameters
    ----------
    kind
        One of `KINDS`.

    Raises
    ------
    InputError
        If there is no such kind.
    """

    def __init__(self, kind: str = "tanh") -> None:
        super().__init__()
        if kind not in KINDS:
            raise InputError(f"--rating_map must be one of {', '.join(KINDS)}, got {kind!r}")
        self.kind = kind
        if kind in ("tanh", "linear"):
            self.slope = nn.Parameter(torch.full((2,), 0.2))
            self.offset = nn.Parameter(torch.zeros(2))
        if kind == "ordinal":
            self.limits = nn.Parameter((_STEPS - 2.5)[:, None].repeat(1, 2))

    def losses(self, scores: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        """Return the loss `[R, 2]` of scores `[R, 2]` beside ratings `[R, 2]` from 1 to 5."""
        if self.kind == "ordinal":
            above = (ratings[:, None] - _STEPS.to(ratings)[:, None]).clamp(0, 1)  # [R, 4, 2]
            logits = scores[:, None] - self.limits
            return F.binary_cross_entropy_with_logits(logits, above, reduction="none").mean(dim=1)
        return (self.predicted(scores) - ratings).square()

    def predicted(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the ratings that scores `[R, 2]` stand for."""
        if self.kind == "tanh":
            return 2 * torch.tanh(self.slope * scores + self.offset) + 3
        if self.kind == "linear":
            return self.slope * scores + self.offset + 3
        if self.kind == "ordinal":
            return 1 + (scores[:, None] - self.limits).sigmoid().sum(dim=1)
        return scores


class BatchModel(nn.Module):
    """Applies a head to every piece of audio of a batch; the prompt of a pair is worked on once for both.

    A dropped modality is replaced by its learned null embedding, or masked out where the config says
    `skip_null`, which is what inference does with a missing one.
    """

    def __init__(self, head: RewardHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: Batch, seed: int | None = None) -> torch.Tensor:
        """Return the head's outputs `[M, O]` for the pieces of audio.

        With the `seed` of a step, dropout does not depend on which part of the step the batch is.
        """
        if seed is not None:
            lend_noise(self.head, Noise(2 * seed, batch.places, batch.step_size))
        prompt, mask = self.head.prompt(*self._drop(batch))
        if seed is not None:
            lend_noise(self.head, Noise(2 * seed + 1, batch.audio_places, 2 * batch.step_size))
        outputs = self.head(prompt[batch.asker], mask[batch.asker], batch.audio)
        lend_noise(self.head, None)
        return outputs

    def _drop(self, batch: Batch) -> list[Stream]:
        head, streams = self.head, (batch.text, batch.lyrics, batch.reference)
        nulls = (head.null_text_embedding, head.null_lyrics_embedding, head.null_audio_embedding)
        modalities = zip(streams, nulls, batch.dropped.unbind(dim=1), strict=True)
        if head.config.skip_null:
            return [(x, lengths * ~dropped) for (x, lengths), _, dropped in modalities]
        return [_replace(*modality) for modality in modalities]


def _replace(stream: Stream, null: torch.Tensor, dropped: torch.Tensor) -> Stream:
    """Put the null embedding `[1, L, D]` in the place of the dropped items of a stream."""
    x, lengths = stream
    frames = max(x.shape[1], null.shape[1])
    lengths = torch.where(dropped, torch.full_like(lengths, null.shape[1]), lengths)
    x = nn.functional.pad(x, (0, 0, 0, frames - x.shape[1]))
    null = nn.functional.pad(null, (0, 0, 0, frames - null.shape[1]))
    return torch.where(dropped[:, None, None], null, x), lengths


class Objective(nn.Module):
    """The loss of a head.

    Parameters
    ----------
    head
        The head.
    ratings
        Map from scores to ratings, which learns too and is left behind; unused by a head that gives distributions.
    """

    def __init__(self, head: RewardHead, ratings: RatingMap) -> None:
        super().__init__()
        self.scores, self.ratings = BatchModel(head), ratings

    def forward(self, batch: Batch, seed: int | None = None) -> torch.Tensor:
        """Return the sum of losses over what is judged in a batch `[2]`, columns alignment and musicality.

        `seed` is that of the step's dropout; see `BatchModel`.
        """
        outputs, pairs = self.scores(batch, seed).float(), len(batch.targets)
        log_odds = self.scores.head.log_odds(outputs[:pairs], outputs[pairs : 2 * pairs])
        sums = (losses_of(log_odds, batch.targets) * batch.pair_weights).sum(dim=0)
        if len(batch.ratings):
            errors = self.rating_losses(outputs[2 * pairs :], batch.ratings)
            sums = sums + (errors * batch.rating_weights).sum(dim=0)
        return sums

    def rating_losses(self, outputs: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        """Return the loss `[R, 2]` of outputs `[R, O]` beside ratings `[R, 2]` from 1 to 5."""
        return (self.scores.head.ratings or self.ratings).losses(outputs, ratings)
