"""Training batches of judgements: their order, their padding, and which modalities are dropped.

Everything is a function of (seed, step, index of the row), so neither a resumed run nor another number of processes
changes what is learned from.
"""

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from reward.bradley_terry import targets_of
from reward.cmi_rm.downsamplers import Stream
from reward.cmi_rm.head import OUTPUTS
from reward.judgements import Judgement, Preference, Rating
from reward.training.embeddings import EmbeddingStore, Key, text_key
from reward.training.live_frames import LiveFrames

MODALITIES = ("text", "lyrics", "reference")
Mixture = Sequence[tuple[int, float]]  # rows of each file, and how often a row comes in an epoch


@dataclass(frozen=True)
class Batch:
    """Q judgements, padded: P preferences and R ratings, of M = 2 P + R pieces of audio.

    Attributes
    ----------
    text, lyrics, reference
        Streams of Q items: the prompt of each judgement.
    audio
        Stream of M items: all a, then all b, then those that are rated.
    asker
        Judgement that each piece of audio belongs to, integers `[M]`.
    places
        Place of each judgement in the step, integers `[Q]`.
    step_size
        Number of judgements of the step, of which the batch may be a part.
    dropped
        Whether text, lyrics and reference are hidden, boolean `[Q, 3]`.
    targets, pair_weights
        Targets and weights `[P, 2]`, columns alignment and musicality; see `reward.bradley_terry.targets_of`.
    ratings, rating_weights
        Ratings and weights `[R, 2]`, the same columns; the weight is 0 where nobody judged.
    """

    text: Stream
    lyrics: Stream
    reference: Stream
    audio: Stream
    asker: torch.Tensor
    places: torch.Tensor
    step_size: int
    dropped: torch.Tensor
    targets: torch.Tensor
    pair_weights: torch.Tensor
    ratings: torch.Tensor
    rating_weights: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""

        def moved(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(moved, value))
            return value.to(device) if isinstance(value, torch.Tensor) else value

        return Batch(*(moved(getattr(self, field.name)) for field in fields(self)))

    @property
    def audio_places(self) -> torch.Tensor:
        """Place of each piece of audio in the step `[M]`, if every judgement of the step had two."""
        places = 2 * self.places[self.asker]
        places[len(self.targets) : 2 * len(self.targets)] += 1  # the second of each pair
        return places


class JudgementData:
    """Rows of judgement with the tower outputs they refer to.

    Parameters
    ----------
    rows
        Preferences and ratings.
    store
        Frames of all their audio and texts, stored or made anew.
    keys
        Key of each audio file.
    smoothing
        Label smoothing of preferences.
    mixture
        Number of rows of each file, and how often they come in an epoch; each once by default.
    """

    def __init__(
        self,
        rows: Sequence[Judgement],
        store: EmbeddingStore | LiveFrames,
        keys: Mapping[Path, Key],
        smoothing: float,
        mixture: Mixture | None = None,
    ) -> None:
        self.rows, self._store, self._keys, self._smoothing = rows, store, keys, smoothing
        self.mixture = mixture or [(len(rows), 1.0)]
        self._dim = store.get(keys[rows[0].audio[0]]).shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(
        self,
        indices: Sequence[int],
        dropped: torch.Tensor | None = None,
        places: Sequence[int] | None = None,
        padded_as_step: bool = True,
    ) -> Batch:
        """Return rows as a batch.

        Parameters
        ----------
        indices
            Rows of a step.
        dropped
            Whether each of their modalities is hidden, `[len(indices), 3]`; none by default.
        places
            Places in the step of those that are in the batch; all by default.
        padded_as_step
            Whether padding is that of the whole step, as noise needs that must not depend on the part.
        """
        step = [self.rows[index] for index in indices]
        chosen = range(len(step)) if places is None else places
        order = sorted(chosen, key=lambda place: isinstance(step[place], Rating))
        rows, at, own = [step[place] for place in order], torch.tensor(order), torch.arange(len(order))
        keys = self._keys_of(rows)
        padded = self._keys_of(step) if padded_as_step else keys
        frames = functools.cache(self._store.get)  # an item that comes twice is encoded once
        absent = torch.zeros(0, self._dim, dtype=self._store.dtype)
        streams = {
            name: _pad(
                [frames(key) if key else absent for key in keys[name]],
                max((self._store.length(key) for key in padded[name] if key), default=0),
            )
            for name in (*MODALITIES, "audio")
        }
        targets, pair_weights = self.targets(_preferences(rows))
        ratings, rating_weights = self.ratings(_rated(rows))
        return Batch(
            **streams,
            asker=torch.cat([own[: len(targets)], own]),
            places=at,
            step_size=len(step),
            dropped=torch.zeros(len(rows), 3, dtype=torch.bool) if dropped is None else dropped[at],
            targets=targets,
            pair_weights=pair_weights,
            ratings=ratings,
            rating_weights=rating_weights,
        )

    def resampled(self, seed: int) -> "JudgementData":
        """Return as many rows of each file, drawn with replacement."""
        generator = torch.Generator().manual_seed(seed)
        rows: list[Judgement] = []
        first = 0
        for count, _ in self.mixture:
            drawn = torch.randint(count, (count,), generator=generator).tolist()
            rows += [self.rows[first + place] for place in drawn]
            first += count
        return JudgementData(rows, self._store, self._keys, self._smoothing, self.mixture)

    def prompt_length(self, index: int) -> int:
        """Return the number of frames of the prompt of a row."""
        keys = self._keys_of([self.rows[index]])
        return sum(self._store.length(key) for name in MODALITIES for key in keys[name] if key)

    def lengths(self, index: int) -> tuple[int, int]:
        """Return the number of frames of the longest audio of a row, and of its prompt."""
        audio = max(self._store.length(self._keys[path]) for path in self.rows[index].audio)
        return audio, self.prompt_length(index)

    @property
    def preferences(self) -> list[Preference]:
        """The rows that are preferences."""
        return _preferences(self.rows)

    @property
    def rated(self) -> list[Rating]:
        """The rows that are ratings."""
        return _rated(self.rows)

    def judged(self, indices: Sequence[int]) -> torch.Tensor:
        """Return how many of the rows each head `[2]` has a label for, columns alignment and musicality."""
        rows = [self.rows[index] for index in indices]
        weights = self.targets(_preferences(rows))[1], self.ratings(_rated(rows))[1]
        return weights[0].sum(dim=0) + weights[1].sum(dim=0)

    def targets(self, pairs: Sequence[Preference]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return targets and weights `[P, 2]` of preferences, columns alignment and musicality."""
        both = [targets_of([getattr(row, head) for row in pairs], self._smoothing) for head in OUTPUTS]
        targets, weights = (torch.stack(part, dim=1) for part in zip(*both, strict=True))
        return targets, weights

    @staticmethod
    def ratings(rated: Sequence[Rating]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ratings and weights `[R, 2]`, columns alignment and musicality."""
        both = [[getattr(row, head) for row in rated] for head in OUTPUTS]
        numbers = [[math.nan if x is None else x for x in column] for column in both]
        values = torch.tensor(numbers, dtype=torch.float32).T
        return values.nan_to_num(0.0), (~values.isnan()).float()

    def _keys_of(self, rows: Sequence[Judgement]) -> dict[str, list[Key | None]]:
        """Return the keys of the items of each stream; None for an absent reference."""
        pairs, prompts = _preferences(rows), [row.prompt for row in rows]
        audio = [*(row.audio_a for row in pairs), *(row.audio_b for row in pairs)]
        return {
            "text": [text_key(prompt.text) for prompt in prompts],
            "lyrics": [text_key(prompt.lyrics) for prompt in prompts],
            "reference": [self._keys[prompt.reference] if prompt.reference else None for prompt in prompts],
            "audio": [self._keys[path] for path in (*audio, *(row.file for row in _rated(rows)))],
        }


def _preferences(rows: Sequence[Judgement]) -> list[Preference]:
    return [row for row in rows if isinstance(row, Preference)]


def _rated(rows: Sequence[Judgement]) -> list[Rating]:
    return [row for row in rows if isinstance(row, Rating)]


def indices_of_step(seed: int, step: int, batch_size: int, mixture: Mixture) -> list[int]:
    """Return the rows of a step: consecutive pieces of an endless sequence of shuffled epochs.

    Every row of a file with the weight 2.5 comes twice in an epoch, and half of them, others in each, a third time.
    """
    length = sum(int(weight) * rows + _rest(rows, weight) for rows, weight in mixture)
    orders: dict[int, list[int]] = {}
    indices = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, offset = divmod(position, length)
        if epoch not in orders:
            orders[epoch] = _epoch(_number(seed, "epoch", epoch) >> 1, mixture)
        indices.append(orders[epoch][offset])
    return indices


def _epoch(seed: int, mixture: Mixture) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    parts, first = [], 0
    for rows, weight in mixture:
        every = torch.arange(first, first + rows)
        parts += [every] * int(weight)
        if rest := _rest(rows, weight):
            parts.append(every[torch.randperm(rows, generator=generator)[:rest]])
        first += rows
    together = torch.cat(parts)
    return together[torch.randperm(len(together), generator=generator)].tolist()


def _rest(rows: int, weight: float) -> int:
    """Return the number of rows of a file that come once more than the others."""
    return round((weight - int(weight)) * rows)


def drops_of_step(seed: int, step: int, indices: Sequence[int], rates: Sequence[float]) -> torch.Tensor:
    """Return which modalities are dropped `[B, 3]`: text, lyrics, reference with probabilities `rates`."""
    noise = [[_number(seed, step, index, name) / 2**64 for name in MODALITIES] for index in indices]
    return torch.tensor(noise, dtype=torch.float64) < torch.tensor(rates, dtype=torch.float64)


def _number(*parts: object) -> int:
    """Return a 64-bit number that is a function of its arguments."""
    text = " ".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _pad(items: Sequence[torch.Tensor], longest: int) -> Stream:
    lengths = torch.tensor([len(item) for item in items])
    padded = pad_sequence(list(items), batch_first=True).float()
    return functional.pad(padded, (0, 0, 0, longest - padded.shape[1])), lengths
