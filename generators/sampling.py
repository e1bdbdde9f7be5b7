"""Sampling a token as a function of its own logits and seed: the Gumbel-max trick.

With independent Gumbel(0, 1) noise g, argmax(logits / temperature + g) is distributed as
softmax(logits / temperature). Unlike `torch.multinomial` on a batch, whose rows share one random stream, each
candidate brings noise from a stream of its own, so that it does not matter what else is in the batch; and a
change of logits in the last bit seldom changes the token.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from generators.candidate_noise import CandidateNoise
from music.errors import InputError


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are drawn.

    Attributes
    ----------
    guidance
        Scale of classifier-free guidance (Ho & Salimans 2022); 1 is without guidance, at half the cost.
    temperature
        Divides the logits; above 0.
    top_k
        Draw from the so many likeliest tokens (and those as likely as the last of them); 0 is from all.

    Raises
    ------
    InputError
        If a value is outside of its range.
    """

    guidance: float = 3.0
    temperature: float = 1.0
    top_k: int = 250

    def __post_init__(self) -> None:
        """Check the ranges, and store 1 and 1.0 as the same."""
        object.__setattr__(self, "guidance", float(self.guidance))
        object.__setattr__(self, "temperature", float(self.temperature))
        if not (math.isfinite(self.guidance) and self.guidance >= 1):
            raise InputError(f"guidance must be at least 1 (1 is without guidance), got {self.guidance}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(f"temperature must be above 0, got {self.temperature}")
        if self.top_k < 0:
            raise InputError(f"top_k must be at least 0 (0 is all tokens), got {self.top_k}")


class GumbelNoise(CandidateNoise):
    """A stream of Gumbel noise for each candidate of a batch; see `generators.candidate_noise.CandidateNoise`."""

    def _fill(self, row: np.ndarray, stream: np.random.Generator) -> None:
        stream.random(out=row, dtype=np.float32)

    def _draw_candidates(self) -> None:
        super()._draw_candidates()
        self._drawn.log_().neg_().log_().neg_()  # a uniform 0 becomes -inf: never chosen


def gumbel_max(logits: torch.Tensor, noise: torch.Tensor, temperature: float, top_k: int) -> torch.Tensor:
    """Draw one token from each distribution.

    Parameters
    ----------
    logits
        `[..., vocabulary]`, float32.
    noise
        Standard Gumbel noise of the same shape.
    temperature, top_k
        As in `SamplingOptions`.

    Returns
    -------
    torch.Tensor
        Tokens `[...]`, int64.
    """
    scores = noise.add(logits, alpha=1 / temperature)
    if 0 < top_k < logits.shape[-1]:
        scores.masked_fill_(logits < _kth_largest(logits, top_k), -math.inf)
    return scores.argmax(dim=-1)


def _kth_largest(values: torch.Tensor, k: int) -> torch.Tensor:
    """Return the k-th largest value of the last dimension, which is kept."""
    if values.device.type == "cpu":  # selecting without sorting is five times faster than topk
        place = values.shape[-1] - k
        return torch.from_numpy(np.partition(values.numpy(), place, axis=-1)[..., place : place + 1])
    return values.topk(k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
