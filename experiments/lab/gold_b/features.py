"""What the second gold judges hear: a constant-Q spectrum for harmony and loudness in critical bands for all else.

Both run at 16 kHz. Nothing of it is shared with the first judges (`gold_judge/features.py`), who hear logarithms of mel
bands and of triangles over a plain spectrum: here pitches are measured against sines of their own, loudness follows
Stevens's power law (1957) in bands of Bark (Traunmüller 1990), every 10 ms, and the pulse is looked for in the spectrum
of its changes, not in their autocorrelation.
"""

import math
from functools import lru_cache

import torch

SAMPLE_RATE = 16_000  # Hz
PITCH_HOP = 1_600  # samples, 0.1 s
LOWEST_PITCH, OCTAVES, STEPS = 28, 7, 36  # MIDI; octaves above it; bins an octave
LONGEST = 8_192  # samples of the longest sine, 0.5 s
BAND_HOP, BAND_WINDOW, BANDS = 160, 512, 48  # samples, samples, critical bands and parts of them
POWER = 0.3  # exponent of loudness over amplitude
PULSES = 96  # frequencies at which a pulse is looked for
WINDOW = 256  # frames of loudness in a short window, 2.56 s
SLOWEST, FASTEST = 0.8, 12.0  # of them, Hz


@lru_cache(maxsize=1)
def _sines() -> torch.Tensor:
    """Return complex sines under their windows [2 * bins, LONGEST], first the cosines: a quality factor of 40."""
    bins = torch.arange(OCTAVES * STEPS, dtype=torch.float64)
    hertz = 440 * 2 ** ((LOWEST_PITCH - 69) / 12 + bins / STEPS)
    lengths = (40 * SAMPLE_RATE / hertz).clamp(max=LONGEST)[:, None]
    time = torch.arange(LONGEST, dtype=torch.float64) - LONGEST / 2
    window = (0.5 + 0.5 * torch.cos(2 * math.pi * time / lengths)) * (time.abs() < lengths / 2)
    window = window * 2 / window.sum(1, keepdim=True)
    phase = 2 * math.pi * hertz[:, None] * time / SAMPLE_RATE
    return torch.cat([window * phase.cos(), window * phase.sin()]).float()


@lru_cache(maxsize=1)
def _critical_bands() -> torch.Tensor:
    """Return overlapping raised cosines [BANDS, bins] of equal width in Bark."""
    hertz = torch.arange(BAND_WINDOW // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / BAND_WINDOW
    bark = 26.81 * hertz / (1960 + hertz) - 0.53
    centres = torch.linspace(0.3, float(bark[-1]) - 0.3, BANDS, dtype=torch.float64)
    away = (bark - centres[:, None]).abs() / 0.8
    return (0.5 + 0.5 * torch.cos(math.pi * away.clamp(max=1))).float()


def loudness_and_pitches(wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return loudness [B, BANDS, T] and amplitudes of pitches [B, OCTAVES * STEPS, U] of waves [B, samples].

    Loudness of the whole does not count: waves are brought to RMS 1.
    """
    wave = wave / (wave.square().mean(1, keepdim=True).sqrt() + 1e-5)
    shape = torch.hamming_window(BAND_WINDOW, device=wave.device)
    found = torch.stft(wave, BAND_WINDOW, BAND_HOP, window=shape, pad_mode="constant", return_complex=True)
    power = found.real.square() + found.imag.square()
    bands = (_critical_bands().to(wave.device) @ power / shape.sum() ** 2 + 1e-9) ** (POWER / 2)
    padded = torch.nn.functional.pad(wave, (LONGEST // 2, LONGEST // 2))
    frames = padded.unfold(1, LONGEST, PITCH_HOP)
    cosine, sine = (frames @ _sines().to(wave.device).T).transpose(1, 2).chunk(2, 1)
    pitches = (cosine.square() + sine.square() + 1e-8) ** (POWER / 2)
    return bands, pitches


def pulse(bands: torch.Tensor) -> torch.Tensor:
    """Return spectra of rises of loudness [B, 6 * PULSES] of loudness [B, BANDS, T], of three ranges of bands.

    The first three are over the whole clip, the others means over windows of `WINDOW` frames (Welch 1967), which a cut
    or a lost beat troubles less. Each is the root of the share of a frequency in the rises' energy; frequencies lie on
    a logarithmic scale.
    """
    rises = bands.diff(dim=2).clamp(min=0).unflatten(1, (3, -1)).mean(2)
    rises = rises - rises.mean(2, keepdim=True)
    parts = rises.unfold(2, min(WINDOW, rises.shape[2]), WINDOW // 4)  # [B, 3, windows, frames]
    spectra = [_spectrum(rises), _spectrum(parts).mean(2)]
    return torch.cat([(one / (one.sum(2, keepdim=True) + 1e-9)).sqrt().flatten(1) for one in spectra], 1)


def _spectrum(rises: torch.Tensor) -> torch.Tensor:
    """Return the power [..., PULSES] of rises [..., frames] at each frequency."""
    count = rises.shape[-1]
    ratio = torch.arange(PULSES, device=rises.device) / (PULSES - 1)
    hertz = SLOWEST * (FASTEST / SLOWEST) ** ratio
    phase = 2 * math.pi * hertz[:, None] * torch.arange(count, device=rises.device) * BAND_HOP / SAMPLE_RATE
    windowed = rises * torch.hann_window(count, device=rises.device)
    return (windowed @ phase.cos().T).square() + (windowed @ phase.sin().T).square()
