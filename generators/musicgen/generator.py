"""MusicGen (Copet et al. 2023), mono and stereo, plain and melody, through the model classes of transformers.

The sampling loop is our own, because `generate()` draws a whole batch from one random stream, so that a clip
would depend on its neighbours; see `generators.musicgen.sampling` and `generators.musicgen.incremental_decoder`.

It conditions on the text of a prompt and does not look at lyrics. A melody model follows the melody of the
reference, whatever its length; another model goes on from the beginning of the reference if it is asked to by
`continuation`, and then the clip starts with that beginning, as the codec renders it.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from generators.musicgen.code_generator import CodeGenerator
from generators.musicgen.conditioning import TEXT_MULTIPLE, MelodyConditioner, PrefixBatch, TextConditioner
from generators.musicgen.continuation import Continuation, check_continuation
from generators.musicgen.decoder_weights import DecoderWeights
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.incremental_decoder import IncrementalDecoder, PrefixedDecoder
from generators.musicgen.loading import (
    CHROMA_CONFIG,
    MELODY,
    MODEL_TYPES,
    load_chroma,
    load_model,
    own_sampling,
)
from generators.musicgen.sampling import CodeDecoder, SamplingOptions
from generators.protocol import samples_of
from generators.shared.batch_generator import check_batch_size
from generators.shared.model_folder import check_kind, find_folder, weights_hash
from music.devices import find_device, find_dtype
from music.errors import InputError
from music.prompts import Prompt

_TRAINED_SECONDS = 30.0  # the longest clips that the published models were trained on


class MusicGen(CodeGenerator):
    """A MusicGen model; see `generators.musicgen.code_generator.CodeGenerator`.

    Parameters
    ----------
    model
        A `MusicgenForConditionalGeneration` or `MusicgenMelodyForConditionalGeneration` in evaluation mode.
    conditioner
        The conditioner that goes with it.
    continuation
        Seconds of a reference that a plain model goes on from; None if it goes on from none.
    folder
        Where it was loaded from.
    name, weights, options, batch_size
        See `generators.musicgen.code_generator.CodeGenerator`.

    Raises
    ------
    InputError
        If the batch size is below 1 or the continuation out of range.
    """

    sampler = 4
    backend = "transformers"
    libraries = ("numpy", "torch", "transformers")

    def __init__(
        self,
        name: str,
        model: Any,
        conditioner: TextConditioner | MelodyConditioner,
        weights: str,
        options: SamplingOptions,
        batch_size: int,
        continuation: float | None = None,
        folder: Path | None = None,
    ) -> None:
        self.folder = folder
        decoder, codec = model.config.decoder, model.config.audio_encoder
        codes, frame = (decoder.num_codebooks, decoder.vocab_size), _samples_per_frame(codec)
        super().__init__(name, weights, options, batch_size, model.device, model.decoder.dtype, codes, frame)
        self.sample_rate = codec.sampling_rate
        self.channels = decoder.audio_channels
        self._model = model
        self._conditioner = conditioner
        self._weights: DecoderWeights | None = None
        melody = model.config.model_type == MELODY
        prefix: int = model.config.chroma_length if melody else 0
        longest_delay = DelayPattern.longest_delay(self._codebooks, self.channels)
        longest = decoder.max_position_embeddings - longest_delay - prefix
        self.max_seconds = min(_TRAINED_SECONDS, float(longest * self._frame / self.sample_rate))
        self.spec = {**self.spec, "text_multiple": TEXT_MULTIPLE}
        self._beginnings: Continuation | None = None
        if continuation is not None:
            self._beginnings = Continuation(
                model.audio_encoder, continuation, self.channels, self._codebooks, self._frame
            )
            # only where it is used, so that the pools of runs without it stay as they are
            self.spec = {**self.spec, "continuation": float(continuation)}
        if melody or continuation is not None:
            self._accept_references()

    @torch.no_grad()
    def change_decoder(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Go on with other weights of the decoder, by name; `spec` no longer describes what is sampled.

        They are written in place of its own, one after the other, so that no second copy of them is needed.
        """
        self._weights = None
        for name, weight in weights:
            self._model.decoder.get_parameter(name).copy_(weight)
            del weight  # before the next is made

    def further_weights(self, device: str) -> int:
        """Return the bytes of the weights that are laid out anew, on a CPU; see `BatchGenerator.further_weights`."""
        made = self._weights or DecoderWeights(self._model.decoder, self._slots, self.options.guidance > 1)
        return made.packed_bytes() if device == "cpu" else 0

    def _check(self, prompt: Prompt, seconds: float) -> None:
        if self._beginnings:
            if self._beginnings.frames >= self._frames(samples_of(seconds, self)):
                given = self._beginnings.frames * self._frame / self.sample_rate
                raise InputError(
                    f"--seconds must be above the {float(given):g} s of --continuation, which a clip begins with, "
                    f"got {seconds:g}"
                )
            self._beginnings.check(prompt)
        self._conditioner.check(prompt)

    def _kind(self, prompt: Prompt, seconds: float) -> Hashable:
        return self._conditioner.padded_length(prompt)

    def _decoder(self, prompts: Sequence[Prompt], steps: int) -> AbstractContextManager[CodeDecoder]:
        decoder, guidance = self._model.decoder, self.options.guidance
        conditions = self._conditioner.batch(prompts, self._conditioner.padded_length(prompts[0]))
        if self._weights is None:
            self._weights = DecoderWeights(decoder, self._slots, guidance > 1)
        if isinstance(conditions, PrefixBatch):
            return nullcontext(PrefixedDecoder(decoder, conditions, steps, guidance, self._weights))
        return nullcontext(IncrementalDecoder(decoder, conditions, steps, guidance, self._weights))

    def _given(self, prompts: Sequence[Prompt], frames: int) -> torch.Tensor | None:
        return self._beginnings.codes(prompts, frames) if self._beginnings else None

    def _audio(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the audio of codes, each channel decoded on its own."""
        sides = [
            self._model.audio_encoder.decode(codes[None, None, side :: self.channels], [None])
            for side in range(self.channels)
        ]
        return torch.cat([side.audio_values.view(1, -1) for side in sides])


def load_musicgen(
    name: str,
    source: str,
    device: str = "auto",
    dtype: str = "float32",
    guidance: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    batch_size: int = 16,
    continuation: float | None = None,
) -> MusicGen:
    """Load a MusicGen model, plain or melody.

    Parameters
    ----------
    name, source
        Name of the model, and where it lies; see `generators.shared.model_folder.locate`.
    device, dtype
        Device and numeric type; see `generators.registry.load_generator`.
    guidance, temperature, top_k
        Options of `generators.musicgen.sampling.SamplingOptions`; those not given are what the model's
        ``generation_config.json`` says, or the defaults there.
    batch_size
        Clips decoded at once.
    continuation
        Seconds of a prompt's reference that a plain model goes on from, rounded to whole frames of codes. The
        clip begins with them, as the codec renders them, and its length counts them. Prompts without a reference
        are made from their text alone. A melody model refuses it: it always follows the reference's melody.

    Raises
    ------
    InputError
        If an option is out of range or not for this model, or the model cannot be found or loaded.
    """
    options: dict[str, Any] = {"guidance": guidance, "temperature": temperature, "top_k": top_k}
    given = {option: value for option, value in options.items() if value is not None}
    SamplingOptions(**given)  # refused before anything is downloaded
    check_batch_size(batch_size)
    if continuation is not None:
        check_continuation(continuation)
    place, kind = find_device(device), find_dtype(dtype)
    folder = find_folder(name, source, MODEL_TYPES)
    melody = check_kind(folder, MODEL_TYPES) == MELODY
    if melody and continuation is not None:
        raise InputError(f"{name} takes references as melodies, it has no option 'continuation'")
    sampling = SamplingOptions(**{**own_sampling(folder), **given})
    model, tokenizer = load_model(folder, place, kind)
    conditioner: TextConditioner | MelodyConditioner
    if melody:
        conditioner = MelodyConditioner(model, tokenizer, load_chroma(folder), sampling.guidance > 1)
        weights = weights_hash(folder, beside=(CHROMA_CONFIG,))
    else:
        conditioner, weights = TextConditioner(model, tokenizer), weights_hash(folder)
    return MusicGen(name, model, conditioner, weights, sampling, batch_size, continuation, folder)


def _samples_per_frame(codec: Any) -> Fraction:
    """Return how many samples a frame of codes stands for.

    EnCodec's own `frame_rate` is rounded up to a whole number.
    """
    if hasattr(codec, "upsampling_ratios"):
        return Fraction(math.prod(codec.upsampling_ratios))
    return Fraction(codec.sampling_rate) / Fraction(codec.frame_rate).limit_denominator(1_000_000)
