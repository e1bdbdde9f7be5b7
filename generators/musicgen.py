"""MusicGen (Copet et al. 2023), mono and stereo, through the model classes of transformers.

The sampling loop is our own, because `generate()` draws a whole batch from one random stream, so that a clip
would depend on its neighbours; see `generators.sampling`, `generators.incremental_decoder` and
`generators.text_conditioning` for its parts.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from generators.batching import check_batch_size, plan_batches, slots_of
from generators.decoder_weights import DecoderWeights
from generators.delay_pattern import DelayPattern
from generators.incremental_decoder import IncrementalDecoder
from generators.model_folder import find_folder, weights_hash
from generators.musicgen_loading import load_model, own_sampling
from generators.protocol import Job, Sample, samples_of
from generators.sampling import GumbelNoise, SamplingOptions, gumbel_max
from generators.text_conditioning import TEXT_MULTIPLE, TextBatch, TextConditioner
from music.clips import Clip
from music.devices import find_device, find_dtype
from music.errors import InputError

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
        A `MusicgenForConditionalGeneration` in evaluation mode.
    tokenizer
        Of its text encoder.
    weights
        SHA-256 of weights, configuration and tokenizer.
    options
        How tokens are drawn.
    batch_size
        Clips decoded at once; fixed, a shorter batch is padded.

    Raises
    ------
    InputError
        If the batch size is below 1.
    """

    accepts = frozenset({"text"})

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        weights: str,
        options: SamplingOptions,
        batch_size: int,
    ) -> None:
        check_batch_size(batch_size)
        decoder, codec = model.config.decoder, model.config.audio_encoder
        self.name = name
        self.sample_rate: int = codec.sampling_rate
        self.channels: int = decoder.audio_channels
        self.options = options
        self.batch_size = batch_size
        self._model = model
        self._texts = TextConditioner(model, tokenizer)
        self._weights: DecoderWeights | None = None
        self._codebooks: int = decoder.num_codebooks
        self._vocabulary: int = decoder.vocab_size
        self._frame = _samples_per_frame(codec)
        longest = decoder.max_position_embeddings - DelayPattern.longest_delay(self._codebooks, self.channels)
        self.max_seconds = min(_TRAINED_SECONDS, float(longest * self._frame / self.sample_rate))
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
        }

    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        """Split jobs into batches of texts of one padded length; see `generators.protocol.Generator.batches`."""
        samples_of(seconds, self)
        prompts = {job.prompt.text: job.prompt for job in jobs}
        lengths = {text: self._texts.padded_length(prompt) for text, prompt in prompts.items()}
        return plan_batches(jobs, lambda job: lengths[job.prompt.text], self.batch_size)

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
            filled = [*jobs, *[jobs[-1]] * (slots - len(jobs))]
            length = self._texts.padded_length(jobs[0].prompt)
            text = self._texts.batch([job.prompt for job in filled], length)
            codes = self._sample([job.seed for job in jobs], text, self._frames(samples))
            for job, tokens in zip(jobs, codes[: len(jobs)], strict=True):
                yield Sample(job, self._decode(tokens, samples), tokens.to("cpu", compact, copy=True))

    def _sample(self, seeds: Sequence[int], text: TextBatch, frames: int) -> torch.Tensor:
        """Return the codes of a batch, `[slots, codebooks, frames]`; slots without a seed hold anything."""
        shape, options = (self._codebooks, self._vocabulary), self.options
        noise = GumbelNoise(seeds, shape, text.mask.shape[0], text.mask.device)

        def choose(logits: torch.Tensor) -> torch.Tensor:
            return gumbel_max(logits, noise.draw(), options.temperature, options.top_k)

        if self._weights is None:
            clips = slots_of(self.batch_size)
            self._weights = DecoderWeights(self._model.decoder, clips, options.guidance > 1)
        pattern = DelayPattern(self._codebooks, self.channels, frames)
        return sample_codes(self._model.decoder, text, pattern, options.guidance, choose, self._weights)

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


def sample_codes(
    decoder: Any,
    text: TextBatch,
    pattern: DelayPattern,
    guidance: float,
    choose: Callable[[torch.Tensor], torch.Tensor],
    weights: DecoderWeights | None = None,
) -> torch.Tensor:
    """Let the decoder of MusicGen write a batch of codes.

    Parameters
    ----------
    decoder
        A `MusicgenForCausalLM` in evaluation mode.
    text
        What each clip of the batch is conditioned on.
    pattern
        When which code is predicted.
    guidance
        Scale of classifier-free guidance.
    choose
        From logits `[B, codebooks, vocabulary]` (float32) to tokens `[B, codebooks]`.
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
    device = text.mask.device
    live = pattern.live().to(device)
    tokens = torch.full((text.mask.shape[0], pattern.codebooks), special, device=device)
    delayed = torch.empty(len(tokens), pattern.steps, pattern.codebooks, dtype=torch.long, device=device)
    state = IncrementalDecoder(decoder, text, pattern.steps, guidance, weights)
    total = torch.zeros((), device=device)  # NaN and infinity stay in a sum: one test at the end will do
    for step in range(pattern.steps):
        logits = state.step(tokens)
        total += logits.sum()
        tokens = choose(logits).masked_fill_(~live[step], special)
        delayed[:, step] = tokens
    if not bool(total.isfinite()):
        raise InputError("the generator computes NaN or infinity: its weights are damaged")
    return pattern.align(delayed)


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
) -> MusicGen:
    """Load a MusicGen model.

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

    Raises
    ------
    InputError
        If an option is out of range or the model cannot be found or loaded.
    """
    options: dict[str, Any] = {"guidance": guidance, "temperature": temperature, "top_k": top_k}
    given = {option: value for option, value in options.items() if value is not None}
    SamplingOptions(**given)  # refused before anything is downloaded
    check_batch_size(batch_size)
    where, kind = find_device(device), find_dtype(dtype)
    folder = find_folder(name, source, known)
    model, tokenizer = load_model(folder, where, kind)
    sampling = SamplingOptions(**{**own_sampling(folder), **given})
    return MusicGen(name, model, tokenizer, weights_hash(folder), sampling, batch_size)


def _samples_per_frame(codec: Any) -> Fraction:
    """Return how many samples a frame of codes stands for.

    EnCodec's own `frame_rate` is rounded up to a whole number.
    """
    if hasattr(codec, "upsampling_ratios"):
        return Fraction(math.prod(codec.upsampling_ratios))
    return Fraction(codec.sampling_rate) / Fraction(codec.frame_rate).limit_denominator(1_000_000)


def _versions() -> dict[str, str]:
    import transformers

    return {
        "numpy": np.__version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }
