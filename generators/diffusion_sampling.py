"""Sampling by diffusion as a function of a candidate's own seed.

A sampler of a stochastic differential equation adds fresh Gaussian noise at every step. Libraries draw it for a
whole batch from one stream, or grow a Brownian tree per batch; here each candidate brings noise from a stream of
its own, so that it does not matter what else is in the batch. The steps of a sampler do not overlap, so the
increments of a Brownian path over them, scaled to variance 1, are just independent standard normals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from music.errors import InputError


@dataclass(frozen=True)
class DiffusionOptions:
    """How noise becomes music.

    Attributes
    ----------
    steps
        Evaluations of the model, at least 2.
    guidance
        Scale of classifier-free guidance (Ho & Salimans 2022); 1 is without guidance, at half the cost.
    negative_prompt
        What guidance leads away from; empty is away from the model without text.

    Raises
    ------
    InputError
        If a value is outside of its range, or the negative prompt would have no effect.
    """

    steps: int = 100
    guidance: float = 7.0
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        """Check the ranges, and store 1 and 1.0 as the same."""
        object.__setattr__(self, "guidance", float(self.guidance))
        if self.steps < 2:
            raise InputError(f"steps must be at least 2, got {self.steps}")
        if not (math.isfinite(self.guidance) and self.guidance >= 1):
            raise InputError(f"guidance must be at least 1 (1 is without guidance), got {self.guidance}")
        if self.negative_prompt and self.guidance == 1:
            raise InputError("negative_prompt has no effect without guidance: give a guidance above 1")


class GaussianNoise:
    """A stream of Gaussian noise for each candidate of a batch.

    The streams are numpy's, which take all 63 bits of a seed (torch's CPU generator looks at 32).

    Parameters
    ----------
    seeds
        One for each candidate, 63 bits.
    shape
        Of the noise for one candidate and step, such as `[channels, frames]`.
    slots
        Batch size; slots beyond the candidates get zeros.
    device
        Where the noise is needed. It is drawn on the CPU, so that it is the same everywhere.

    Attributes
    ----------
    shape
        As it was given.
    """

    def __init__(
        self, seeds: Sequence[int], shape: Sequence[int], slots: int, device: torch.device | str = "cpu"
    ) -> None:
        self._streams = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
        self._noise = torch.zeros(slots, *shape)
        self._device = device
        self.shape = tuple(shape)

    def draw(self) -> torch.Tensor:
        """Return the noise of the next step, `[slots, *shape]`; on CPU it is overwritten by the next call."""
        for row, stream in zip(self._noise.numpy(), self._streams, strict=False):
            stream.standard_normal(out=row, dtype=np.float32)
        return self._noise.to(self._device)
