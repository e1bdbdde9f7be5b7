"""Outputs of towers that learn, where frozen ones are read from disk."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from music.clips import read_header
from music.errors import InputError
from reward.cmi_rm.dropout import Dropout, Noise, lend_noise
from reward.cmi_rm.towers import CHUNK_SECONDS, FRAMES_PER_SECOND, Towers
from reward.training.embeddings import EmbeddingStore, Key, encode


class LiveFrames:
    """Takes the place of an `EmbeddingStore`: what learning towers encode is encoded anew, with gradients.

    Parameters
    ----------
    store
        Outputs of the frozen towers.
    towers
        Towers of which some parameters learn.
    sources
        File or text of each key whose frames change in training.

    Raises
    ------
    InputError
        If a file cannot be read or is too short.
    """

    dtype = torch.float32

    def __init__(self, store: EmbeddingStore, towers: Towers, sources: Mapping[Key, Path | str]) -> None:
        self._store, self._towers, self._sources = store, towers, sources
        self._lengths = {key: self._most(source) for key, source in sources.items()}
        self._seed: int | None = None

    def draw_from(self, seed: int | None) -> None:
        """Draw the noise of dropout from the `seed` of a step, the same for an item in any part; none if it is None."""
        self._seed = seed
        for part in self._towers.modules():
            if isinstance(part, Dropout):
                part.train(seed is not None)

    def get(self, key: Key) -> torch.Tensor:
        """Return the frames `[T, dim]` of an item, on the CPU."""
        if key not in self._sources:
            return self._store.get(key).float()
        if self._seed is not None:
            own = (self._seed + int(key[1][:15], 16)) % 2**63
            lend_noise(
                self._towers, Noise(own, torch.zeros(1, dtype=torch.long, device=self._towers.device), 1)
            )
        return encode(self._towers, self._sources[key])

    def length(self, key: Key) -> int:
        """Return how many frames an item has at most, without encoding it."""
        return self._lengths[key] if key in self._sources else self._store.length(key)

    def _most(self, source: Path | str) -> int:
        if isinstance(source, str):
            return self._towers.count_tokens(source)
        header = read_header(source)
        seconds = min(header.samples / header.sample_rate, self._towers.max_seconds)
        try:
            self._towers.refuse_short(seconds)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
        return math.ceil(FRAMES_PER_SECOND * seconds) + math.ceil(seconds / CHUNK_SECONDS)
