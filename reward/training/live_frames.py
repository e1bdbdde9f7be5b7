"""Outputs of towers that learn, where frozen ones are read from disk."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from music.clips import read_header
from music.errors import InputError
from reward.cmi_rm.dropout import Dropout, Noise, lend_noise
from reward.cmi_rm.towers import CHUNK_SECONDS, FRAMES_PER_SECOND, SHORTEST, Towers
from reward.training.embeddings import EmbeddingStore, Key, encode_file


class LiveFrames:
    """Stands for an `EmbeddingStore`: what the towers encode that learn, it encodes anew, with gradients.

    Parameters
    ----------
    store
        Holds what the others gave.
    towers
        Some of whose parameters learn.
    sources
        The file or text of each key whose frames change in training.

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
        source = self._sources[key]
        if isinstance(source, str):
            return self._towers.encode_text(source)
        return encode_file(self._towers, source)

    def length(self, key: Key) -> int:
        """Return how many frames an item has at most, without encoding it."""
        if key not in self._sources:
            return self._store.length(key)
        return self._lengths[key]

    def _most(self, source: Path | str) -> int:
        if isinstance(source, str):
            return self._towers.count_tokens(source)
        header = read_header(source)
        seconds = min(header.samples / header.sample_rate, self._towers.max_seconds)
        if seconds * self._towers.sample_rate <= SHORTEST:
            least = SHORTEST / self._towers.sample_rate
            raise InputError(f"{source}: audio of {seconds:.3f} s is too short: expected over {least:.3f} s")
        return math.ceil(FRAMES_PER_SECOND * seconds) + math.ceil(seconds / CHUNK_SECONDS)
