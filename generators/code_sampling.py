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

NOT_GIVEN = -1  # in place of a code that the model shall choose


def sample_codes(
    decoder: Any,
    conditions: TextBatch | PrefixBatch,
    pattern: DelayPattern,
    guidance: float,
    choose: Callable[[torch.Tensor], torch.Tensor],
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
        From logits `[B, codebooks, vocabulary]` (float32) to tokens `[B, codebooks]`.
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
    special = decoder.config.vocab_size  # the one input that is no code; it has no logit
    device = decoder.device
    batch = conditions.clips
    live = pattern.live().to(device)
    tokens = torch.full((batch, pattern.codebooks), special, device=device)
    delayed = torch.empty(batch, pattern.steps, pattern.codebooks, dtype=torch.long, device=device)
    forced = None if given is None else pattern.delay(given.to(device), NOT_GIVEN)
    state: IncrementalDecoder | PrefixedDecoder
    if isinstance(conditions, PrefixBatch):
        state = PrefixedDecoder(decoder, conditions, pattern.steps, guidance, weights)
    else:
        state = IncrementalDecoder(decoder, conditions, pattern.steps, guidance, weights)
    total = torch.zeros((), device=device)  # NaN and infinity stay in a sum: one test at the end will do
    for step in range(pattern.steps):
        logits = state.step(tokens)
        total += logits.sum()
        tokens = choose(logits).masked_fill_(~live[step], special)
        if forced is not None:
            tokens = torch.where(forced[:, step] == NOT_GIVEN, tokens, forced[:, step])
        delayed[:, step] = tokens
    if not bool(total.isfinite()):
        raise InputError("the generator computes NaN or infinity: its weights are damaged")
    return pattern.align(delayed)
