"""The head as training sees it: a batch of pairs in, a score for each piece of audio out."""

import torch
from torch import nn

from reward.batches import PairBatch
from reward.cmi_rm.downsamplers import Stream
from reward.cmi_rm.head import RewardHead


class PairModel(nn.Module):
    """Scores both pieces of each pair; the prompt is worked on once for both.

    A dropped modality is replaced by its learned null embedding, or masked out where the config says
    `skip_null`, which is what inference does with a missing one.
    """

    def __init__(self, head: RewardHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: PairBatch) -> torch.Tensor:
        """Return scores `[2, B, 2]`: of a and of b; columns alignment, musicality."""
        streams = self._drop(batch)
        prompt, mask = self.head.prompt(*streams)
        return self.head(prompt.repeat(2, 1, 1), mask.repeat(2, 1), batch.audio).unflatten(0, (2, -1))

    def _drop(self, batch: PairBatch) -> list[Stream]:
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
