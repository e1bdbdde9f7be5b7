"""Noise: each candidate of a batch has a stream of its own, so that it does not depend on its neighbours."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch


def stream_of(seed: int) -> np.random.Generator:
    """Return the stream of a seed of 63 bits, at its beginning."""
    return np.random.Generator(np.random.PCG64(seed))


class CandidateNoise(ABC):
    """A stream of noise for each candidate of a batch.

    The streams are numpy's, which take all 63 bits of a seed (torch's CPU generator looks at 32) and are
    faster.

    Parameters
    ----------
    seeds
        Seed of each candidate, 63 bits; or a stream to go on with, which itself is left as it is.
    shape
        Shape of the noise for one candidate and step, such as `[codebooks, vocabulary]` or `[channels, frames]`.
    slots
        Batch size; slots beyond the candidates get zeros.
    device
        Where the noise is needed. It is drawn on the CPU, so that it is the same everywhere.

    Attributes
    ----------
    streams
        The stream of each candidate, after what was drawn of it.
    shape
        Shape of the noise for one candidate.
    """

    def __init__(
        self,
        seeds: Sequence[int | np.random.Generator],
        shape: Sequence[int],
        slots: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.streams = [
            deepcopy(seed) if isinstance(seed, np.random.Generator) else stream_of(seed) for seed in seeds
        ]
        self._noise = torch.zeros(slots, *shape)
        self._drawn = self._noise[: len(seeds)]
        self._device = device
        self.shape = tuple(shape)

    def draw(self) -> torch.Tensor:
        """Return the noise of the next step, `[slots, *shape]`; on CPU it is overwritten by the next call."""
        self._draw_candidates()
        return self._noise.to(self._device)

    def _draw_candidates(self) -> None:
        for row, stream in zip(self._drawn.numpy(), self.streams, strict=True):
            self._fill(row, stream)

    @abstractmethod
    def _fill(self, row: np.ndarray, stream: np.random.Generator) -> None:
        """Fill an array of the shape of one candidate, float32, from its stream."""
