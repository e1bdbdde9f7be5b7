"""The head as training sees it: a batch of judgements in, a score for each piece of audio out."""

import torch
from torch import nn

from reward.batches import Batch
from reward.cmi_rm.downsamplers import Stream
from reward.cmi_rm.dropout import Noise, lend_noise
from reward.cmi_rm.head import RewardHead


class BatchModel(nn.Module):
    """Scores every piece of audio of a batch; the prompt of a pair is worked on once for both.

    A dropped modality is replaced by its learned null embedding, or masked out where the config says
    `skip_null`, which is what inference does with a missing one.
    """

    def __init__(self, head: RewardHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: Batch, seed: int | None = None) -> torch.Tensor:
        """Return scores `[M, 2]` of the pieces of audio; columns alignment, musicality.

        With the `seed` of a step, dropout does not depend on which part of the step the batch is.
        """
        if seed is not None:
            lend_noise(self.head, Noise(2 * seed, batch.places, batch.step_size))
        prompt, mask = self.head.prompt(*self._drop(batch))
        if seed is not None:
            lend_noise(self.head, Noise(2 * seed + 1, batch.audio_places, 2 * batch.step_size))
        scores = self.head(prompt[batch.asker], mask[batch.asker], batch.audio)
        lend_noise(self.head, None)
        return scores

    def _drop(self, batch: Batch) -> list[Stream]:
        streams = (batch.text, batch.lyrics, batch.reference)
        nulls = (
            self.head.null_text_embedding,
            self.head.null_lyrics_embedding,
            self.head.null_audio_embedding,
        )
        if self.head.config.skip_null:
            return [
                (x, lengths * ~dropped)
                for (x, lengths), dropped in zip(streams, batch.dropped.unbind(dim=1), strict=True)
            ]
        return [
            _replace(stream, null, dropped)
            for stream, null, dropped in zip(streams, nulls, batch.dropped.unbind(dim=1), strict=True)
        ]


def _replace(stream: Stream, null: torch.Tensor, dropped: torch.Tensor) -> Stream:
    """Put the null embedding `[1, L, D]` in the place of the dropped items of a stream."""
    x, lengths = stream
    frames = max(x.shape[1], null.shape[1])
    lengths = torch.where(dropped, torch.full_like(lengths, null.shape[1]), lengths)
    x = nn.functional.pad(x, (0, 0, 0, frames - x.shape[1]))
    null = nn.functional.pad(null, (0, 0, 0, frames - null.shape[1]))
    return torch.where(dropped[:, None, None], null, x), lengths
