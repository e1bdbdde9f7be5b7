"""Sampling by diffusion as a function of a candidate's own seed.

A sampler of a stochastic differential equation adds fresh Gaussian noise at every step. Libraries draw it for a
whole batch from one stream, or grow a Brownian tree per batch; here each candidate brings noise from a stream of
its own, so that it does not matter what else is in the batch. The steps of a sampler do not overlap, so the
increments of a Brownian path over them, scaled to variance 1, are just independent standard normals.

A sampler does any span of its steps: what it carries from one to the next is a `State`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from generators.shared.noise import CandidateNoise
from music.errors import InputError

# What a batch of B clips is between two steps, each part `[B, ...]`, float32: `latents`, and after the first step
# `clean`, the last prediction of the clean ones; `gap`, see `widen_gap`; and what else a sampler or guidance remembers.
State = dict[str, torch.Tensor]


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
        Text that guidance leads away from; if empty, it leads away from the model without text.

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


def given_options(steps: int | None, guidance: float | None, negative_prompt: str | None) -> dict[str, Any]:
    """Return those of `DiffusionOptions` that are not None; the others are to be the defaults of a model.

    Raises
    ------
    InputError
        If a value is out of range, whatever the model. Whether a negative prompt has an effect may depend on it.
    """
    options = {"steps": steps, "guidance": guidance, "negative_prompt": negative_prompt}
    given: dict[str, Any] = {option: value for option, value in options.items() if value is not None}
    DiffusionOptions(**given)
    return given


class GaussianNoise(CandidateNoise):
    """A stream of Gaussian noise for each candidate of a batch; see `generators.shared.noise.CandidateNoise`."""

    def _fill(self, row: np.ndarray, stream: np.random.Generator) -> None:
        stream.standard_normal(out=row, dtype=np.float32)


def widen_gap(gap: torch.Tensor | None, towards: torch.Tensor, away: torch.Tensor) -> None:
    """Add how far apart the two predictions of a guided step are.

    Parameters
    ----------
    gap
        Sum of each clip so far, `[B]`, which is changed; None if nobody asks for it.
    towards, away
        Predictions with and without conditions, `[B, ...]`.
    """
    if gap is not None:
        # row by row, so that none depends on its place
        for row, difference in enumerate((towards - away).detach()):
            gap[row] += difference.square().mean().sqrt()
