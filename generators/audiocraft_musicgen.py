"""MusicGen (Copet et al. 2023), mono, stereo and melody, in its authors' own format, through audiocraft.

Language model, conditioners and codec are the library's. The loop over the steps is our own, because the library's
`generate` draws a whole batch from torch's global stream and pads texts to the longest of a batch, which its attention
looks at: see `generators.sampling` and `generators.audiocraft_conditioning`.

It conditions on the text of a prompt, melody models also on the melody of its reference, whatever its length. It does
not look at lyrics.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from typing import Any

import torch

from generators.audiocraft_conditioning import AudiocraftConditioner, Conditions
from generators.audiocraft_library import attention, check_extra
from generators.audiocraft_loading import (
    LANGUAGE_MODEL,
    AudiocraftParts,
    download_audiocraft,
    load_parts,
)
from generators.batching import check_batch_size, plan_batches, slots_of
from generators.delay_pattern import DelayPattern
from generators.model_folder import locate
from generators.protocol import Job, Sample, samples_of
from generators.sampling import GumbelNoise, SamplingOptions, gumbel_max
from music.clips import Clip
from music.devices import find_device, find_dtype
from music.errors import InputError

# Part of every spec: raise it with any change of our own code that changes the audio of a seed.
SAMPLER = 1
_LIBRARIES = ("audiocraft", "numpy", "torch", "transformers")


class AudiocraftMusicGen:
    """A MusicGen of audiocraft; see `generators.protocol.Generator`.

    The weights are taken to stay as they are: after training, make a new one.

    Parameters
    ----------
    name
        As it was asked for.
    parts
        Of the model.
    dtype
        Of its transformer.
    options
        How tokens are drawn.
    batch_size
        Clips decoded at once; fixed, a shorter batch is padded.

    Raises
    ------
    InputError
        If the batch size is below 1.
    """

    def __init__(
        self,
        name: str,
        parts: AudiocraftParts,
        dtype: torch.dtype,
        options: SamplingOptions,
        batch_size: int,
    ) -> None:
        check_batch_size(batch_size)
        self.name = name
        self.sample_rate: int = parts.codec.sample_rate
        self.channels: int = parts.codec.channels
        self.options = options
        self.batch_size = batch_size
        self.max_seconds = parts.seconds
        self._parts = parts
        self._dtype = dtype
        self._device = next(parts.language_model.parameters()).device
        self._conditioner = AudiocraftConditioner(parts.language_model, guided=options.guidance > 1)
        self._codebooks: int = parts.language_model.num_codebooks
        self._vocabulary: int = parts.language_model.card
        hears_melodies = self._conditioner.hears_melodies
        self.accepts = frozenset({"text", "reference"} if hears_melodies else {"text"})
        self.spec: Mapping[str, Any] = {
            "weights": parts.weights,
            "backend": "audiocraft",
            "sampler": SAMPLER,
            "versions": {library: version(library) for library in _LIBRARIES},
            "device": self._device.type,
            "dtype": str(dtype).removeprefix("torch."),
            "batch_size": batch_size,
            "guidance": options.guidance,
            "temperature": options.temperature,
            "top_k": options.top_k,
        }

    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        """Split jobs into batches of texts of one length.

        Raises
        ------
        InputError
            If `seconds` or a prompt is not for this generator.
        """
        samples_of(seconds, self)
        prompts = {(job.prompt.text, job.prompt.reference): job.prompt for job in jobs}
        lengths = {key: self._conditioner.length(prompt) for key, prompt in prompts.items()}
        return plan_batches(jobs, lambda job: lengths[job.prompt.text, job.prompt.reference], self.batch_size)

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
        return self._decode(tokens.to(self._device, torch.long), samples)

    def _generate(self, batches: Sequence[Sequence[Job]], samples: int) -> Iterator[Sample]:
        compact = torch.int16 if self._vocabulary <= 2**15 else torch.int32
        slots = slots_of(self.batch_size)
        for jobs in batches:
            filled = [*jobs, *[jobs[-1]] * (slots - len(jobs))]
            conditions = self._conditioner.batch([job.prompt for job in filled])
            codes = self._sample([job.seed for job in jobs], conditions, slots, self._frames(samples))
            for job, tokens in zip(jobs, codes, strict=False):
                yield Sample(job, self._decode(tokens, samples), tokens.to("cpu", compact, copy=True))

    def _sample(self, seeds: Sequence[int], conditions: Conditions, slots: int, frames: int) -> torch.Tensor:
        """Return the codes of a batch, `[slots, codebooks, frames]`; slots without a seed hold anything."""
        options = self.options
        noise = GumbelNoise(seeds, (self._codebooks, self._vocabulary), slots, self._device)

        def choose(logits: torch.Tensor) -> torch.Tensor:
            return gumbel_max(logits, noise.draw(), options.temperature, options.top_k)

        pattern = DelayPattern(self._codebooks, self.channels, frames)
        exact = self._dtype == torch.float32
        with nullcontext() if exact else torch.autocast(self._device.type, self._dtype):
            return write_codes(
                self._parts.language_model, conditions, slots, pattern, options.guidance, choose
            )

    def _frames(self, samples: int) -> int:
        return math.ceil(samples / self._parts.frame)

    @torch.inference_mode()
    def _audio(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the audio of codes `[K, frames]`, `[channels, samples]`."""
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            return self._parts.codec.decode(tokens[None], None)[0]

    def _decode(self, tokens: torch.Tensor, samples: int) -> Clip:
        # Clip by clip, so that the audio of tokens does not depend on what else was in the batch.
        audio = self._audio(tokens[:, : self._frames(samples)])
        if audio.shape[1] < samples:
            raise RuntimeError(f"the codec of {self.name} gave {audio.shape[1]} of {samples} samples")
        return Clip(audio[:, :samples].to("cpu", torch.float32, copy=True), self.sample_rate)


@torch.inference_mode()
def write_codes(
    model: Any,
    conditions: Conditions,
    count: int,
    pattern: DelayPattern,
    guidance: float,
    choose: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Let a language model of audiocraft write a batch of codes.

    Parameters
    ----------
    model
        An `LMModel` in evaluation mode.
    conditions
        What each clip is conditioned on; with guidance, the rows without conditions follow.
    count
        Of the clips, B.
    pattern
        When which code is predicted.
    guidance
        Scale of classifier-free guidance.
    choose
        From logits `[B, codebooks, vocabulary]` (float32) to tokens `[B, codebooks]`.

    Returns
    -------
    torch.Tensor
        `[B, codebooks, frames]`, int64.

    Raises
    ------
    InputError
        If the model computes NaN or infinity at any step.
    """
    special, device = model.special_token_id, next(model.parameters()).device
    live = pattern.live().to(device)
    tokens = torch.full((count, pattern.codebooks), special, device=device)
    delayed = torch.empty(count, pattern.steps, pattern.codebooks, dtype=torch.long, device=device)
    total = torch.zeros((), device=device)  # NaN and infinity stay in a sum: one test at the end will do
    with model.streaming(), attention():
        for step in range(pattern.steps):
            fed = torch.cat([tokens, tokens]) if guidance > 1 else tokens
            logits = model(fed[..., None], conditions=[], condition_tensors=conditions)[:, :, -1].float()
            if guidance > 1:
                towards, away = logits.chunk(2)
                logits = torch.lerp(away, towards, guidance)
            total += logits.sum()
            tokens = choose(logits).masked_fill_(~live[step], special)
            delayed[:, step] = tokens
    if not bool(total.isfinite()):
        raise InputError("the generator computes NaN or infinity: its weights are damaged")
    return pattern.align(delayed)


def load_audiocraft(
    name: str,
    source: str,
    known: Sequence[str],
    device: str = "auto",
    dtype: str = "float32",
    guidance: float = 3.0,
    temperature: float = 1.0,
    top_k: int = 250,
    batch_size: int = 16,
) -> AudiocraftMusicGen:
    """Load a MusicGen of audiocraft.

    Parameters
    ----------
    name, source, known
        What it is called, where it lies, and what else there is; see `generators.model_folder.locate`.
    device, dtype
        As in `generators.registry.load_generator`.
    guidance, temperature, top_k
        As in `generators.sampling.SamplingOptions`; the defaults are those of audiocraft.
    batch_size
        Clips decoded at once.

    Raises
    ------
    InputError
        If an option is out of range, a library is missing, or the model cannot be found or loaded.
    """
    options = SamplingOptions(guidance, temperature, top_k)
    check_batch_size(batch_size)
    where, kind = find_device(device), find_dtype(dtype)
    check_extra()
    folder = locate(name, source, known, LANGUAGE_MODEL, download_audiocraft)
    return AudiocraftMusicGen(name, load_parts(folder, known, where, kind), kind, options, batch_size)
