"""Clips as raters hear them: one rate, one length, faded ends, one loudness below a true-peak ceiling.

Loudness is that of ITU-R BS.1770-4 (pyloudnorm); the true peak is that of the signal at four times its rate (annex 2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from music.clips import Clip
from music.errors import InputError

FADE_IN, FADE_OUT = 0.01, 0.05  # s
SHORTEST = 0.5  # s; a block of BS.1770 has 0.4
_OVERSAMPLING = 4


@dataclass(frozen=True)
class Level:
    """How loud a clip is.

    Attributes
    ----------
    loudness
        Integrated, in LUFS.
    peak
        True peak, in dB of full scale.
    """

    loudness: float
    peak: float


def measure(clip: Clip, name: str = "clip") -> Level:
    """Return the level of a clip; `InputError` if it is shorter than `SHORTEST` or silent, `name` is for messages."""
    import pyloudnorm

    if clip.seconds < SHORTEST:
        raise InputError(f"{name} lasts {clip.seconds:.2f} s: a listening test needs at least {SHORTEST} s")
    loudness = float(pyloudnorm.Meter(clip.sample_rate).integrated_loudness(clip.waveform.T.double().numpy()))
    if not math.isfinite(loudness):
        raise InputError(f"{name} is silent: it cannot be brought to any loudness")
    dense = clip.resampled(_OVERSAMPLING * clip.sample_rate)
    peak = max(float(dense.waveform.abs().max()), float(clip.waveform.abs().max()))
    return Level(loudness, 20 * math.log10(peak))


def common_gains(levels: Sequence[Level], target: float, ceiling: float) -> list[float]:
    """Return the gain of each clip in dB after which all are equally loud and no true peak is above the ceiling.

    They are as loud as `target` (LUFS), or, if that would take a peak above the `ceiling` (dB of full scale), all of
    them softer by as much as is needed: a limiter would change what is judged.
    """
    gains = [target - level.loudness for level in levels]
    excess = max(level.peak + gain - ceiling for level, gain in zip(levels, gains, strict=True))
    return [gain - max(0.0, excess) for gain in gains]


def shaped(clip: Clip, sample_rate: int, channels: int, seconds: float) -> Clip:
    """Return the beginning of a clip at a rate, with so many channels, and with faded ends."""
    waveform = clip.resampled(sample_rate).waveform
    if channels == 1:
        waveform = waveform.mean(dim=0, keepdim=True)
    elif waveform.shape[0] == 1:
        waveform = waveform.expand(2, -1)
    return faded(Clip(waveform.contiguous(), sample_rate).first(seconds))


def faded(clip: Clip) -> Clip:
    """Return a clip whose ends rise and fall as a raised cosine."""
    waveform = clip.waveform.clone()
    for seconds, end in ((FADE_IN, False), (FADE_OUT, True)):
        length = min(round(seconds * clip.sample_rate), clip.samples // 2)
        ramp = (1 - torch.cos(torch.linspace(0, math.pi, length))) / 2
        if end:
            waveform[:, clip.samples - length :] *= ramp.flip(0)
        else:
            waveform[:, :length] *= ramp
    return Clip(waveform, clip.sample_rate)


def amplified(clip: Clip, gain: float) -> Clip:
    """Return a clip after a gain in dB."""
    return Clip(clip.waveform * 10 ** (gain / 20), clip.sample_rate)
