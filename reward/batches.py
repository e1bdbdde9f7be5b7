"""Training batches of preference pairs: their order, their padding, and which modalities are dropped.

Everything is a function of (seed, step, index of the pair), so neither a resumed run nor another number of
processes changes what is learned from.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from reward.bradley_terry import targets_of
from reward.cmi_rm.downsamplers import Stream
from reward.cmi_rm.head import ALIGNMENT, MUSICALITY
from reward.embeddings import EmbeddingStore, Key, text_key
from reward.preferences import Preference

MODALITIES = ("text", "lyrics", "reference")


@dataclass(frozen=True)
class PairBatch:
    """B pairs, padded.

    Attributes
    ----------
    text, lyrics, reference
        Streams of B items, shared by both pieces of audio of a pair.
    audio
        Stream of 2 B items: all a, then all b.
    dropped
        `[B, 3]`, boolean: which of text, lyrics and reference is hidden.
    targets, weights
        `[B, 2]`, columns as the model's (alignment, musicality); see `reward.bradley_terry.targets_of`.
    """

    text: Stream
    lyrics: Stream
    reference: Stream
    audio: Stream
    dropped: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> "PairBatch":
        """Return the batch on a device."""
        streams = (self.text, self.lyrics, self.reference, self.audio)
        text, lyrics, reference, audio = ((x.to(device), lengths.to(device)) for x, lengths in streams)
        dropped, targets, weights = (part.to(device) for part in (self.dropped, self.targets, self.weights))
        return PairBatch(text, lyrics, reference, audio, dropped, targets, weights)


class PairData:
    """Preference rows with the tower outputs they refer to.

    Parameters
    ----------
    rows
        The pairs.
    store
        Holds the frames of all their audio and texts.
    keys
        The key of each audio file.
    smoothing
        Label smoothing.
    """

    def __init__(
        self, rows: Sequence[Preference], store: EmbeddingStore, keys: Mapping[Path, Key], smoothing: float
    ) -> None:
        self.rows, self._store, self._keys = rows, store, keys
        both: list[tuple[torch.Tensor, torch.Tensor]] = [(torch.empty(0), torch.empty(0))] * 2
        both[MUSICALITY] = targets_of([row.musicality for row in rows], smoothing)
        both[ALIGNMENT] = targets_of([row.alignment for row in rows], smoothing)
        self.targets = torch.stack([targets for targets, _ in both], dim=1)
        self.weights = torch.stack([weights for _, weights in both], dim=1)
        self._dim = store.get(keys[rows[0].audio_a]).shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Sequence[int], dropped: torch.Tensor | None = None) -> PairBatch:
        """Return the pairs of `indices`; `dropped` `[B, 3]` hides modalities."""
        rows = [self.rows[index] for index in indices]
        absent = torch.zeros(0, self._dim, dtype=self._store.dtype)
        references = [row.prompt.reference for row in rows]
        audio = [row.audio_a for row in rows] + [row.audio_b for row in rows]
        return PairBatch(
            text=_pad([self._store.get(text_key(row.prompt.text)) for row in rows]),
            lyrics=_pad([self._store.get(text_key(row.prompt.lyrics)) for row in rows]),
            reference=_pad([absent if path is None else self._frames(path) for path in references]),
            audio=_pad([self._frames(path) for path in audio]),
            dropped=torch.zeros(len(rows), 3, dtype=torch.bool) if dropped is None else dropped,
            targets=self.targets[list(indices)],
            weights=self.weights[list(indices)],
        )

    def _frames(self, path: Path) -> torch.Tensor:
        return self._store.get(self._keys[path])


def indices_of_step(seed: int, step: int, batch_size: int, count: int) -> list[int]:
    """Return the pairs of a step: consecutive pieces of an endless sequence of shuffled epochs."""
    orders: dict[int, list[int]] = {}
    indices = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, offset = divmod(position, count)
        if epoch not in orders:
            generator = torch.Generator().manual_seed(_number(seed, "epoch", epoch) >> 1)
            orders[epoch] = torch.randperm(count, generator=generator).tolist()
        indices.append(orders[epoch][offset])
    return indices


def drops_of_step(seed: int, step: int, indices: Sequence[int], rates: Sequence[float]) -> torch.Tensor:
    """Return which modalities are dropped `[B, 3]`: text, lyrics, reference with probabilities `rates`."""
    noise = [[_number(seed, step, index, name) / 2**64 for name in MODALITIES] for index in indices]
    return torch.tensor(noise, dtype=torch.float64) < torch.tensor(rates, dtype=torch.float64)


def _number(*parts: object) -> int:
    """Return a 64-bit number that is a function of its arguments."""
    text = " ".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _pad(items: Sequence[torch.Tensor]) -> Stream:
    lengths = torch.tensor([len(item) for item in items])
    return pad_sequence(list(items), batch_first=True).float(), lengths
