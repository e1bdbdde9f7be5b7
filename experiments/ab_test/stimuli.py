"""Sounds that check the rater: a spoilt copy of a clip, and noise with a pitch that only headphones tell.

The headphone check is that of Milne et al. (2021, "An online headphone screening test based on dichotic pitch"): of
three noises one holds a Huggins pitch, a narrow band whose phase turns once between the ears. It is heard as a faint
tone over headphones, and hardly at all over loudspeakers, where the ears' signals mix.
"""

import math

import torch

from experiments.ab_test.loudness import faded
from music.clips import Clip

_PITCH, _WIDTH = 600.0, 0.06  # Hz, and the width of the band in which the phase turns, relative to it
_NOISE, _GAP = 1.0, 0.5  # s
_PASSED = 4_000.0  # Hz, above which the noise of the check is cut off
_SPOILING = 6.0  # dB by which the added noise is louder than the music


def spoilt(clip: Clip, seed: int) -> Clip:
    """Return a clip drowned in noise: whoever listens hears that the other one is better."""
    stream = torch.Generator().manual_seed(seed)
    noise = torch.randn(clip.waveform.shape, generator=stream)
    power = clip.waveform.square().mean().sqrt()
    return faded(Clip(clip.waveform + noise * power * 10 ** (_SPOILING / 20), clip.sample_rate))


def huggins_trial(right: int, sample_rate: int, seed: int) -> Clip:
    """Return three noises in a row, `[2, samples]`; that at place `right` (0 to 2) holds the pitch."""
    stream = torch.Generator().manual_seed(seed)
    size, gap = round(_NOISE * sample_rate), torch.zeros(2, round(_GAP * sample_rate))
    parts: list[torch.Tensor] = []
    for place in range(3):
        noise = _noise(size, sample_rate, stream, pitch=place == right)
        parts += [faded(Clip(noise, sample_rate)).waveform, gap]
    return Clip(torch.cat(parts[:-1], dim=1), sample_rate)


def level_noise(sample_rate: int, seed: int, seconds: float = 5.0) -> Clip:
    """Return noise with the long-term slope of music (-3 dB an octave), to set the volume by, `[2, samples]`."""
    stream = torch.Generator().manual_seed(seed)
    size = round(seconds * sample_rate)
    spectrum = torch.fft.rfft(torch.randn(size, generator=stream))
    frequencies = torch.fft.rfftfreq(size, 1 / sample_rate)
    spectrum *= torch.where(frequencies > 40, frequencies.clamp(min=40).rsqrt(), 0.0)
    wave = torch.fft.irfft(spectrum, n=size)
    return faded(Clip((0.1 * wave / wave.std()).expand(2, -1).contiguous(), sample_rate))


def _noise(size: int, sample_rate: int, stream: torch.Generator, pitch: bool) -> torch.Tensor:
    """Return noise for both ears; with a pitch, the right one's phase turns by 2 pi through a narrow band."""
    spectrum = torch.fft.rfft(torch.randn(size, generator=stream))
    frequencies = torch.fft.rfftfreq(size, 1 / sample_rate)
    spectrum *= frequencies < _PASSED
    low, high = _PITCH * (1 - _WIDTH / 2), _PITCH * (1 + _WIDTH / 2)
    turn = ((frequencies - low) / (high - low)).clamp(0, 1) * 2 * math.pi
    other = spectrum * torch.exp(1j * turn) if pitch else spectrum
    ears = torch.stack([torch.fft.irfft(spectrum, n=size), torch.fft.irfft(other, n=size)])
    return (0.05 * ears / ears.std()).float()
