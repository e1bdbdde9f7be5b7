"""MusicGen's sampling loop: codes of a batch, step by step of the delay pattern."""

from collections.abc import Callable
from typing import Any

import torch

from generators.decoder_weights import DecoderWeights
from generators.delay_pattern import DelayPattern
from generators.incremental_decoder import IncrementalDecoder, PrefixedDecoder
from generators.melody_conditioning import PrefixBatch
from generators.text_conditioning import TextBatch
from music.errors import InputError

# From logits `[B, codebooks, vocabulary]` (float32) to codes `[B, codebooks]`.
Choose = Callable[[torch.Tensor], torch.Tensor]

NOT_GIVEN = -1  # in place of a code that the model shall choose


def sample_codes(
    decoder: Any,
    conditions: TextBatch | PrefixBatch,
    pattern: DelayPattern,
    guidance: float,
    choose: Choose,
    given: torch.Tensor | None = None,
    weights: DecoderWeights | None = None,
) -> torch.Tensor:
    """Let the decoder of MusicGen write a batch of codes.

    Parameters
    ----------
    decoder
        A `MusicgenForCausalLM` or `MusicgenMelodyForCausalLM` in evaluation mode.
    conditions
        What each clip of the batch is conditioned on, of the kind that goes with the decoder.
    pattern
        When which code is predicted.
    guidance
        Scale of classifier-free guidance.
    choose
        Draws the codes of one position.
    given
        Codes that are not for the model to choose, `[B, codebooks, frames]`, and `NOT_GIVEN` elsewhere.
    weights
        As in `generators.incremental_decoder.IncrementalDecoder`.

    Returns
    -------
    torch.Tensor
        `[B, codebooks, frames]`, int64.

    Raises
    ------
    InputError
        If the model computes NaN or infinity at any step.
    """
    state: IncrementalDecoder | PrefixedDecoder
    if isinstance(conditions, PrefixBatch):
        state = PrefixedDecoder(decoder, conditions, pattern.steps, guidance, weights)
    else:
        state = IncrementalDecoder(decoder, conditions, pattern.steps, guidance, weights)
    first = torch.full(
        (conditions.clips, pattern.codebooks), decoder.config.vocab_size, device=decoder.device
    )
    return write_codes(state.step, first, pattern, choose, given)


def write_codes(
    step: Callable[[torch.Tensor], torch.Tensor],
    first: torch.Tensor,
    pattern: DelayPattern,
    choose: Choose,
    given: torch.Tensor | None = None,
) -> torch.Tensor:
    """Write the codes of a batch with any decoder.

    Parameters
    ----------
    step
        From the input of one position, `[B, codebooks]`, to the logits of the next, `[B, codebooks, vocabulary]`
        (float32).
    first
        Input of the first position: the special token, which is no code and has no logit.
    pattern, choose, given
        As in `sample_codes`.

    Returns
    -------
    torch.Tensor
        `[B, codebooks, frames]`, int64.

    Raises
    ------
    InputError
        If the model computes NaN or infinity at any step.
    """
    device, tokens = first.device, first
    live = pattern.live().to(device)
    delayed = torch.empty(len(first), pattern.steps, pattern.codebooks, dtype=torch.long, device=device)
    forced = None if given is None else pattern.delay(given.to(device), NOT_GIVEN)
    total = torch.zeros((), device=device)  # NaN and infinity stay in a sum: one test at the end will do
    for position in range(pattern.steps):
        logits = step(tokens)
        total += logits.sum()
        tokens = torch.where(live[position], choose(logits), first)
        if forced is not None:
            tokens = torch.where(forced[:, position] == NOT_GIVEN, tokens, forced[:, position])
        delayed[:, position] = tokens
    if not bool(total.isfinite()):
        raise InputError("the generator computes NaN or infinity: its weights are damaged")
    return pattern.align(delayed)
