"""The beginning of a reference clip as MusicGen's codes, for the model to go on from."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from generators.musicgen.sampling import NOT_GIVEN
from music.clips import read_clip, read_header
from music.devices import exact_float32
from music.errors import InputError
from music.prompts import Prompt

_MARGIN = 1.0  # s; read beyond the beginning, so that resampling meets no edge there


class Continuation:
    """Reads the beginnings of references.

    Parameters
    ----------
    codec
        The `audio_encoder` of a MusicGen model.
    seconds
        Length of what is continued of a reference; rounded to whole frames of codes, one at least.
    channels
        Channels of the model, 1 or 2; a reference is mixed down or doubled to them.
    codebooks
        Codebooks of the model, both channels together.
    samples_per_frame
        Samples that a frame of codes stands for.

    Raises
    ------
    InputError
        If `seconds` is not above 0.
    """

    def __init__(
        self, codec: Any, seconds: float, channels: int, codebooks: int, samples_per_frame: Fraction
    ) -> None:
        check_continuation(seconds)
        self._codec = codec
        self._channels = channels
        self._codebooks = codebooks
        self._rate: int = codec.config.sampling_rate
        self.frames = max(1, round(seconds * self._rate / samples_per_frame))
        self._samples = math.ceil(self.frames * samples_per_frame)

    def check(self, prompt: Prompt) -> None:
        """`InputError` if a prompt has a reference that is too short or cannot be read."""
        if prompt.reference is not None:
            header = read_header(prompt.reference)
            samples = round(header.samples * self._rate / header.sample_rate)
            self._check_length(prompt.reference, samples, prompt.id)

    @torch.inference_mode()
    def codes(self, prompts: Sequence[Prompt], frames: int) -> torch.Tensor | None:
        """Return what is given of the codes of clips.

        Parameters
        ----------
        prompts
            Prompts of B clips.
        frames
            Length of the clips, frames.

        Returns
        -------
        torch.Tensor or None
            `[B, codebooks, frames]`, `NOT_GIVEN` after the beginning and for a prompt without a reference; None if
            there is nothing but that.
        """
        ids = {prompt.reference: prompt.id for prompt in prompts}
        known = {path: self._encode(path, prompt_id) for path, prompt_id in ids.items() if path is not None}
        if not known:
            return None
        given = torch.full((len(prompts), self._codebooks, frames), NOT_GIVEN)
        for row, prompt in zip(given, prompts, strict=True):
            if prompt.reference is not None:
                row[:, : self.frames] = known[prompt.reference]
        return given

    def _encode(self, path: Path, prompt_id: str) -> torch.Tensor:
        """Return the codes of one beginning, `[codebooks, frames]`, each channel encoded on its own."""
        clip = read_clip(path, max_seconds=self._samples / self._rate + _MARGIN).resampled(self._rate)
        self._check_length(path, clip.samples, prompt_id)
        if clip.channels != self._channels:
            clip = clip.mono()
        waveform = clip.waveform[:, : self._samples].to(self._codec.device).expand(self._channels, -1)
        with exact_float32():
            sides = [self._codec.encode(side[None, None]).audio_codes[0, 0] for side in waveform]
        needed = self._codebooks // self._channels
        if len(sides[0]) < needed:
            raise InputError(f"the codec writes {len(sides[0])} codebooks, the model continues from {needed}")
        codes = torch.stack([side[:needed, : self.frames] for side in sides], dim=1)
        return codes.flatten(0, 1).cpu()

    def _check_length(self, path: Path, samples: int, prompt_id: str) -> None:
        if samples < self._samples:
            raise InputError(
                f"prompt {prompt_id!r}: its reference {path} lasts {samples / self._rate:g} s, too short to continue "
                f"from its first {self._samples / self._rate:g} s: lower --continuation"
            )


def check_continuation(seconds: float) -> None:
    """`InputError` unless a reference can be continued from so much of it."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"continuation must be above 0 s, got {seconds}")
