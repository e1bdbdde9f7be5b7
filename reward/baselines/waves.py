"""What a baseline hears of audio: its beginning, one channel at the model's rate, whole or in pieces."""

from collections.abc import Callable
from pathlib import Path

import torch

from music.clips import Clip, read_clip
from music.errors import InputError


def first_seconds(audio: Path | Clip, seconds: float) -> Clip:
    """Return the beginning of a file, or of a clip in memory."""
    return read_clip(audio, seconds) if isinstance(audio, Path) else audio.first(seconds)


def mono_wave(clip: Clip, rate: int) -> torch.Tensor:
    """Return the mean of the channels `[samples]` at a rate (Hz); `InputError` if there is no sample."""
    wave = clip.mono().resampled(rate).waveform[0]
    if not len(wave):
        raise InputError("the clip is empty")
    return wave


def mean_over_pieces(
    wave: torch.Tensor, length: int, measure: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Return the mean over the pieces of a wave, weighted by duration.

    Parameters
    ----------
    wave
        Wave `[samples]`, not empty.
    length
        Samples of a piece; the last one may be shorter.
    measure
        Function of a piece `[samples]` to `[D]`, on the CPU.
    """
    pieces = wave.split(length)
    shares = torch.tensor([len(piece) / len(wave) for piece in pieces])
    return shares @ torch.stack([measure(piece) for piece in pieces])
