"""MusicGen (Copet et al. 2023), mono and stereo, plain and melody, through the model classes of transformers.

The sampling loop is our own, because `generate()` draws a whole batch from one random stream, so that a clip
would depend on its neighbours; see `generators.code_sampling`, `generators.sampling`,
`generators.incremental_decoder`, `generators.text_conditioning` and `generators.melody_conditioning` for its parts.

It conditions on the text of a prompt and does not look at lyrics. A melody model follows the melody of the
reference, whatever its length; another model goes on from the beginning of the reference if it is asked to by
`continuation`, and then the clip starts with that beginning, as the codec renders it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generators.batching import check_batch_size, plan_batches, slots_of
from generators.code_sampling import sample_codes
from generators.continuation import Continuation, check_continuation
from generators.decoder_weights import DecoderWeights
from generators.delay_pattern import DelayPattern
from generators.melody_conditioning import MelodyConditioner, PrefixBatch
from generators.model_folder import find_folder, weights_hash
from generators.musicgen_loading import (
    CHROMA_CONFIG,
    MELODY,
    MODEL_TYPES,
    load_chroma,
    load_model,
    own_sampling,
)
from generators.protocol import Job, Sample, samples_of
from generators.sampling import GumbelNoise, SamplingOptions, gumbel_max
from generators.text_conditioning import TEXT_MULTIPLE, TextBatch, TextConditioner
from music.clips import Clip
from music.devices import find_device, find_dtype
from music.errors import InputError
from music.prompts import Prompt

# Part of every spec: raise it with any change of our own code that changes the audio of a seed.
SAMPLER = 2
_TRAINED_SECONDS = 30.0  # the longest clips that the published models were trained on


class MusicGen:
    """A MusicGen model; see `generators.protocol.Generator`.

    The weights are taken to stay as they are: after training, make a new one.

    Parameters
    ----------
    name
        As it was asked for.
    model
        A `MusicgenForConditionalGeneration` or `MusicgenMelodyForConditionalGeneration` in evaluation mode.
    conditioner
        That goes with it.
    weights
        SHA-256 of what decides what it computes.
    options
        How tokens are drawn.
    batch_size
        Clips decoded at once; fixed, a shorter batch is padded.
    continuation
        How many seconds of a reference a plain model goes on from; None is not at all.

    Raises
    ------
    InputError
        If the batch size is below 1, or the continuation out of range or not for this model.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        conditioner: TextConditioner | MelodyConditioner,
        weights: str,
        options: SamplingOptions,
        batch_size: int,
        continuation: float | None = None,
    ) -> None:
        check_batch_size(batch_size)
        decoder, codec = model.config.decoder, model.config.audio_encoder
        self.name = name
        self.sample_rate: int = codec.sampling_rate
        self.channels: int = decoder.audio_channels
        self.options = options
        self.batch_size = batch_size
        self._model = model
        self._conditioner = conditioner
        self._weights: DecoderWeights | None = None
        self._codebooks: int = decoder.num_codebooks
        self._vocabulary: int = decoder.vocab_size
        self._frame = _samples_per_frame(codec)
        melody = model.config.model_type == MELODY
        prefix: int = model.config.chroma_length if melody else 0
        longest_delay = DelayPattern.longest_delay(self._codebooks, self.channels)
        longest = decoder.max_position_embeddings - longest_delay - prefix
        self.max_seconds = min(_TRAINED_SECONDS, float(longest * self._frame / self.sample_rate))
        self._beginnings: Continuation | None = None
        if continuation is not None:
            if melody:
                raise InputError(f"{name} takes references as melodies, it has no option 'continuation'")
            self._beginnings = Continuation(
                model.audio_encoder, continuation, self.channels, self._codebooks, self._frame
            )
        takes_reference = melody or continuation is not None
        self.accepts = frozenset({"text", "reference"} if takes_reference else {"text"})
        self.spec: Mapping[str, Any] = {
            "weights": weights,
            "backend": "transformers",
            "sampler": SAMPLER,
            "versions": _versions(),
            "device": model.device.type,
            "dtype": str(model.decoder.dtype).removeprefix("torch."),
            "batch_size": batch_size,
            "text_multiple": TEXT_MULTIPLE,
            "guidance": options.guidance,
            "temperature": options.temperature,
            "top_k": options.top_k,
            # only where it is used, so that the pools of runs without it stay as they are
            **({} if continuation is None else {"continuation": float(continuation)}),
        }

    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        """Split jobs into batches of texts of one padded length; see `generators.protocol.Generator.batches`."""
        samples = samples_of(seconds, self)
        if self._beginnings:
            if self._beginnings.frames >= self._frames(samples):
                given = self._beginnings.frames * self._frame / self.sample_rate
                raise InputError(
                    f"--seconds must be above the {float(given):g} s of --continuation, which a clip begins with, "
                    f"got {seconds:g}"
                )
            self._beginnings.check([job.prompt for job in jobs])
        prompts = {_conditions_of(job.prompt): job.prompt for job in jobs}
        lengths = {of: self._conditioner.padded_length(prompt) for of, prompt in prompts.items()}
        return plan_batches(jobs, lambda job: lengths[_conditions_of(job.prompt)], self.batch_size)

    def generate(self, jobs: Sequence[Job], seconds: float) -> Iterator[Sample]:
        """Yield one sample a job, batch by batch; see `generators.protocol.Generator.generate`."""
        return self._generate(self.batches(jobs, seconds), samples_of(seconds, self))

    def decode_tokens(self, tokens: torch.Tensor, seconds: float) -> Clip:
        """Return the clip of given tokens, the same to the bit as when they were sampled.

        Parameters
        ----------
        tokens
            `[codebooks, frames]`, integers below the vocabulary size; the order of codebooks is that of the
            model, for stereo left 0, right 0, left 1, right 1 ...
        seconds
            Length of the clip, s.

        Raises
        ------
        InputError
            If these are no tokens of this model, or too few.
        """
        samples = samples_of(seconds, self)
        if tokens.ndim != 2 or tokens.shape[0] != self._codebooks or tokens.shape[1] < self._frames(samples):
            expected = f"[{self._codebooks}, {self._frames(samples)} or more]"
            raise InputError(f"tokens of {self.name} have shape {expected}, got {list(tokens.shape)}")
        if tokens.min() < 0 or tokens.max() >= self._vocabulary:
            low, high = int(tokens.min()), int(tokens.max())
            raise InputError(f"tokens of {self.name} lie in 0 to {self._vocabulary - 1}, got {low} to {high}")
        return self._decode(tokens.to(self._model.device, torch.long), samples)

    def _generate(self, batches: Sequence[Sequence[Job]], samples: int) -> Iterator[Sample]:
        compact = torch.int16 if self._vocabulary <= 2**15 else torch.int32
        slots = slots_of(self.batch_size)
        for jobs in batches:
            prompts = [job.prompt for job in (*jobs, *[jobs[-1]] * (slots - len(jobs)))]
            conditions = self._conditioner.batch(prompts, self._conditioner.padded_length(prompts[0]))
            given = self._beginnings.codes(prompts, self._frames(samples)) if self._beginnings else None
            codes = self._sample([job.seed for job in jobs], conditions, self._frames(samples), given)
            for job, tokens in zip(jobs, codes, strict=True):
                yield Sample(job, self._decode(tokens, samples), tokens.to("cpu", compact, copy=True))

    def _sample(
        self,
        seeds: Sequence[int],
        conditions: TextBatch | PrefixBatch,
        frames: int,
        given: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the codes of the clips of a batch that have a seed, `[seeds, codebooks, frames]`."""
        shape, options = (self._codebooks, self._vocabulary), self.options
        noise = GumbelNoise(seeds, shape, conditions.clips, self._model.device)

        def choose(logits: torch.Tensor) -> torch.Tensor:
            return gumbel_max(logits, noise.draw(), options.temperature, options.top_k)

        if self._weights is None:
            clips = slots_of(self.batch_size)
            self._weights = DecoderWeights(self._model.decoder, clips, options.guidance > 1)
        pattern = DelayPattern(self._codebooks, self.channels, frames)
        codes = sample_codes(
            self._model.decoder, conditions, pattern, options.guidance, choose, given, self._weights
        )
        return codes[: len(seeds)]

    def _frames(self, samples: int) -> int:
        return math.ceil(samples / self._frame)

    @torch.inference_mode()
    def _audio(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the audio of codes `[K, frames]`, one channel at a time: `[channels, samples]`."""
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            sides = [
                self._model.audio_encoder.decode(tokens[None, None, side :: self.channels], [None])
                for side in range(self.channels)
            ]
        return torch.cat([side.audio_values.view(1, -1) for side in sides])

    def _decode(self, tokens: torch.Tensor, samples: int) -> Clip:
        # Clip by clip, so that the audio of tokens does not depend on what else was in the batch.
        audio = self._audio(tokens[:, : self._frames(samples)])
        if audio.shape[1] < samples:
            raise RuntimeError(f"the codec of {self.name} gave {audio.shape[1]} of {samples} samples")
        return Clip(audio[:, :samples].to("cpu", torch.float32, copy=True), self.sample_rate)


def load_musicgen(
    name: str,
    source: str,
    known: Sequence[str],
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
    name, source, known
        What it is called, where it lies, and what else there is; see `generators.model_folder.find_folder`.
    device, dtype
        As in `generators.registry.load_generator`.
    guidance, temperature, top_k
        As in `generators.sampling.SamplingOptions`; those not given are what the model's
        ``generation_config.json`` says, or else the defaults there.
    batch_size
        Clips decoded at once.
    continuation
        How many seconds of a prompt's reference a plain model goes on from, rounded to whole frames of codes. The
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
    where, kind = find_device(device), find_dtype(dtype)
    folder = find_folder(name, source, known, MODEL_TYPES)
    model, tokenizer = load_model(folder, where, kind)
    sampling = SamplingOptions(**{**own_sampling(folder), **given})
    conditioner: TextConditioner | MelodyConditioner
    if model.config.model_type == MELODY:
        conditioner = MelodyConditioner(model, tokenizer, load_chroma(folder), sampling.guidance > 1)
        weights = weights_hash(folder, beside=(CHROMA_CONFIG,))
    else:
        conditioner, weights = TextConditioner(model, tokenizer), weights_hash(folder)
    return MusicGen(name, model, conditioner, weights, sampling, batch_size, continuation)


def _samples_per_frame(codec: Any) -> Fraction:
    """Return how many samples a frame of codes stands for.

    EnCodec's own `frame_rate` is rounded up to a whole number.
    """
    if hasattr(codec, "upsampling_ratios"):
        return Fraction(math.prod(codec.upsampling_ratios))
    return Fraction(codec.sampling_rate) / Fraction(codec.frame_rate).limit_denominator(1_000_000)


def _conditions_of(prompt: Prompt) -> tuple[str, Path | None]:
    """Return what of a prompt a conditioner may look at."""
    return prompt.text, prompt.reference


def _versions() -> dict[str, str]:
    import transformers

    return {
        "numpy": np.__version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }
