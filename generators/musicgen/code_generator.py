"""What all MusicGen models share, whatever runs them: a stream of noise for each candidate, codes as tokens."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction

import torch

from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.sampling import Choose, GumbelNoise, SamplingOptions, gumbel_max
from generators.protocol import samples_of
from generators.shared.batch_generator import BatchGenerator
from music.clips import Clip
from music.errors import InputError
from music.prompts import Prompt


class CodeGenerator(BatchGenerator):
    """A generator that writes the codes of a codec, step by step of the delay pattern.

    Its tokens are these codes, `[codebooks, frames]`, integers below the vocabulary size; the order of codebooks is
    that of the model, for stereo left 0, right 0, left 1, right 1 ...

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

    @abstractmethod
    def _write(self, prompts: Sequence[Prompt], pattern: DelayPattern, choose: Choose) -> torch.Tensor:
        """Return the codes of a batch, `[B, codebooks, frames]`."""

    @abstractmethod
    def _audio(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the audio of the codes of one clip, `[channels, samples]`."""

    def _sample(
        self, seeds: Sequence[int], prompts: Sequence[Prompt], seconds: float, samples: int
    ) -> torch.Tensor:
        shape, options = (self._codebooks, self._vocabulary), self.options
        noise = GumbelNoise(seeds, shape, len(prompts), self._device)

        def choose(logits: torch.Tensor) -> torch.Tensor:
            return gumbel_max(logits, noise.draw(), options.temperature, options.top_k)

        pattern = DelayPattern(self._codebooks, self.channels, self._frames(samples))
        return self._write(prompts, pattern, choose)[: len(seeds)]

    def _decode(self, tokens: torch.Tensor, samples: int) -> torch.Tensor:
        audio = self._audio(tokens[:, : self._frames(samples)])
        if audio.shape[1] < samples:
            raise RuntimeError(f"the codec of {self.name} gave {audio.shape[1]} of {samples} samples")
        return audio[:, :samples]

    def _kept(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.to("cpu", torch.int16 if self._vocabulary <= 2**15 else torch.int32, copy=True)

    def _frames(self, samples: int) -> int:
        return math.ceil(samples / self._frame)
