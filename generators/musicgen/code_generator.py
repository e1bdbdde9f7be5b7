"""What all MusicGen models share, whatever runs them: a stream of noise for each candidate, codes as tokens."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.sampling import CodeDecoder, GumbelNoise, SamplingOptions, gumbel_max, write_codes
from generators.protocol import samples_of
from generators.shared.batch_generator import BatchGenerator
from generators.stepping import Partial
from music.clips import Clip
from music.errors import InputError
from music.prompts import Prompt


class CodeGenerator(BatchGenerator):
    """A generator that writes the codes of a codec, step by step of the delay pattern.

    Its tokens are these codes, `[codebooks, frames]`, integers below the vocabulary size; the order of codebooks is
    that of the model, for stereo left 0, right 0, left 1, right 1 ...

    Stopped half-way, a candidate is its codes so far, `codes` `[steps, codebooks]`, and what the decoder has read of
    them, `past`: keys and values, which take much memory. Its preview is the frames of which all codes are written.

    Parameters
    ----------
    options
        How codes are drawn, a `SamplingOptions`.
    codes
        Number of codebooks, both channels together, and of the codes of each.
    samples_per_frame
        Samples that a frame of codes stands for.
    name, weights, batch_size, device, dtype
        See `generators.shared.batch_generator.BatchGenerator`.

    Raises
    ------
    InputError
        If the batch size is below 1.
    """

    options: SamplingOptions

    def __init__(
        self,
        name: str,
        weights: str,
        options: SamplingOptions,
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype,
        codes: tuple[int, int],
        samples_per_frame: Fraction,
    ) -> None:
        super().__init__(name, weights, options, batch_size, device, dtype)
        self._codebooks, self._vocabulary = codes
        self._frame = samples_per_frame

    def decode_tokens(self, tokens: torch.Tensor, seconds: float) -> Clip:
        """Return the clip of given codes; see `generators.shared.batch_generator.BatchGenerator.decode_tokens`.

        If there are more frames than the clip needs, the first are taken.
        """
        samples = samples_of(seconds, self)
        if tokens.ndim != 2 or tokens.shape[0] != self._codebooks or tokens.shape[1] < self._frames(samples):
            expected = f"[{self._codebooks}, {self._frames(samples)} or more]"
            raise InputError(f"tokens of {self.name} have shape {expected}, got {list(tokens.shape)}")
        if tokens.min() < 0 or tokens.max() >= self._vocabulary:
            low, high = int(tokens.min()), int(tokens.max())
            raise InputError(f"tokens of {self.name} lie in 0 to {self._vocabulary - 1}, got {low} to {high}")
        return self._clip(tokens.to(self._device, torch.long), samples)

    def blank_tokens(self, seconds: float) -> torch.Tensor:
        """Return codes of zeros; see `generators.shared.batch_generator.BatchGenerator.blank_tokens`."""
        return torch.zeros(self._codebooks, self._frames(samples_of(seconds, self)), dtype=torch.long)

    @abstractmethod
    def _decoder(self, prompts: Sequence[Prompt], steps: int) -> AbstractContextManager[CodeDecoder]:
        """Return a decoder, in its context, of clips that take so many steps."""

    def _given(self, prompts: Sequence[Prompt], frames: int) -> torch.Tensor | None:
        """Return codes that are not for the model to choose; see `generators.musicgen.sampling.write_codes`."""
        return None

    @abstractmethod
    def _audio(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the audio of the codes of one clip, `[channels, samples]`."""

    def _pattern(self, seconds: float) -> DelayPattern:
        return DelayPattern(self._codebooks, self.channels, self._frames(samples_of(seconds, self)))

    def _steps(self, seconds: float) -> int:
        return self._pattern(seconds).steps

    def _noise(self, streams: Sequence[np.random.Generator], slots: int, seconds: float) -> GumbelNoise:
        return GumbelNoise(streams, (self._codebooks, self._vocabulary), slots, self._device)

    def _work(
        self,
        prompts: Sequence[Prompt],
        seconds: float,
        states: Sequence[Mapping[str, Any]],
        noise: GumbelNoise,
        span: range,
    ) -> list[dict[str, Any]]:
        options, pattern = self.options, self._pattern(seconds)
        codes = None
        with self._decoder(prompts, pattern.steps) as decoder:
            if span.start:
                codes = torch.stack([state["codes"] for state in states])
                decoder.go_on([state["past"] for state in states], span.start)

            def choose(logits: torch.Tensor) -> torch.Tensor:
                return gumbel_max(logits, noise.draw(), options.temperature, options.top_k)

            given = self._given(prompts, pattern.frames)
            codes = write_codes(decoder, pattern, choose, given, codes, span.stop)
            found: list[dict[str, Any]] = [{"codes": row} for row in codes[: len(noise.streams)]]
            if span.stop < pattern.steps:
                for row, state in enumerate(found):
                    state["past"] = decoder.past(row)
        return found

    def _heard(self, partial: Partial) -> tuple[torch.Tensor, int]:
        pattern, samples = self._pattern(partial.seconds), samples_of(partial.seconds, self)
        delay = pattern.steps - pattern.frames
        frames = partial.step - delay
        if frames < 1:
            raise InputError(
                f"nothing of a clip of {self.name} can be heard before {(delay + 1) / pattern.steps:.3g} of the "
                f"work, got {partial.share:.3g}"
            )
        written = DelayPattern(self._codebooks, self.channels, frames)
        tokens = written.align(partial.state["codes"][None])[0]
        return tokens, min(samples, math.floor(frames * self._frame))

    def _decode(self, tokens: torch.Tensor, samples: int) -> torch.Tensor:
        audio = self._audio(tokens[:, : self._frames(samples)])
        if audio.shape[1] < samples:
            raise RuntimeError(f"the codec of {self.name} gave {audio.shape[1]} of {samples} samples")
        return audio[:, :samples]

    def _kept(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.to("cpu", torch.int16 if self._vocabulary <= 2**15 else torch.int32, copy=True)

    def _frames(self, samples: int) -> int:
        return math.ceil(samples / self._frame)
