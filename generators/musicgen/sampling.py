"""MusicGen's sampling: how a code is drawn, and the loop over the steps of the delay pattern.

A code is a function of its own logits and seed by the Gumbel-max trick: with independent Gumbel(0, 1) noise g,
argmax(logits / temperature + g) is distributed as softmax(logits / temperature). Unlike `torch.multinomial` on a batch,
whose rows share one random stream, each candidate brings noise from a stream of its own, so that it does not matter
what else is in the batch; and a change of logits in the last bit seldom changes the code.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from generators.musicgen.delay_pattern import DelayPattern
from generators.shared.noise import CandidateNoise
from music.errors import InputError

# From logits `[B, codebooks, vocabulary]` (float32) to codes `[B, codebooks]`.
Choose = Callable[[torch.Tensor], torch.Tensor]

NOT_GIVEN = -1  # in place of a code that the model is to choose


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are drawn.

    Attributes
    ----------
    guidance
        Scale of classifier-free guidance (Ho & Salimans 2022); 1 is without guidance, at half the cost.
    temperature
        Divisor of the logits; above 0.
    top_k
        Number of the likeliest tokens to draw from (and those as likely as the last of them); 0 is all.

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
    """A stream of Gumbel noise for each candidate of a batch; see `generators.shared.noise.CandidateNoise`."""

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
        See `SamplingOptions`.

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


class CodeDecoder(Protocol):
    """Any decoder that is fed one position after another, of a batch of B clips.

    Attributes
    ----------
    first
        Input of the first position, `[B, codebooks]`: the special token, which is no code and has no logit.
    """

    first: torch.Tensor

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits of the next position, `[B, codebooks, vocabulary]` (float32), from `[B, codebooks]`."""
        ...

    def past(self, row: int) -> Any:
        """Return a copy of what was read of a clip."""
        ...

    def go_on(self, pasts: Sequence[Any], position: int) -> None:
        """Go on at a position with what was read of each clip before, by any decoder of the same kind."""
        ...


def write_codes(
    decoder: CodeDecoder,
    pattern: DelayPattern,
    choose: Choose,
    given: torch.Tensor | None = None,
    written: torch.Tensor | None = None,
    stop: int | None = None,
) -> torch.Tensor:
    """Write the codes of a batch.

    Parameters
    ----------
    decoder
        Decoder of the batch, which has read what is written.
    pattern
        When which code is predicted.
    choose
        Draws the codes of one position.
    given
        Codes that are not for the model to choose, `[B, codebooks, frames]`, and `NOT_GIVEN` for all others.
    written
        Codes of the steps before, as this function returns them; None at the beginning.
    stop
        Step before which to stop; by default after the last.

    Returns
    -------
    torch.Tensor
        Codes by step, `[B, stop, codebooks]`, int64, the special token where there is none;
        `DelayPattern.align` gives those of a whole clip by frame.

    Raises
    ------
    InputError
        If the model computes NaN or infinity at any step.
    """
    first, stop = decoder.first, pattern.steps if stop is None else stop
    device, start = first.device, 0 if written is None else written.shape[1]
    tokens = first if written is None else written[:, -1]
    live = pattern.live().to(device)
    delayed = torch.empty(len(first), stop, pattern.codebooks, dtype=torch.long, device=device)
    if written is not None:
        delayed[:, :start] = written
    forced = None if given is None else pattern.delay(given.to(device), NOT_GIVEN)
    total = torch.zeros((), device=device)  # NaN and infinity stay in a sum: one test at the end will do
    for position in range(start, stop):
        logits = decoder.step(tokens)
        total += logits.sum()
        tokens = torch.where(live[position], choose(logits), first)
        if forced is not None:
            tokens = torch.where(forced[:, position] == NOT_GIVEN, tokens, forced[:, position])
        delayed[:, position] = tokens
    if not bool(total.isfinite()):
        raise InputError("the generator computes NaN or infinity: its weights are damaged")
    return delayed
