"""What the gold judges hear: a log-mel spectrogram, a pitch spectrogram and a tempogram, all at 16 kHz.

The reward model's towers hear 24 kHz through one mel spectrogram. Here the mels have another rate, window and number
and serve timbre and damage; pitches come from windows of up to half a second, since a chord's third, and with it the
mode, is a semitone that short windows smear; the tempogram is the autocorrelation of onsets.
"""

from functools import lru_cache

import torch

from music.clips import Clip
from music.errors import InputError

SAMPLE_RATE = 16_000  # Hz
MIN_SECONDS = 1.0  # below it there is neither a beat nor a chord to hear
MAX_SECONDS = 60.0  # no more of a clip is heard
MEL_HOP, MEL_WINDOW, MELS = 256, 1024, 80  # samples, samples, bands
PITCH_HOP = 2048  # samples
LOWEST_PITCH, OCTAVES, STEPS = 36, 6, 24  # MIDI; octaves above it; bands an octave
#: STFT window in samples -> the share of the octaves, from below, that it serves
PITCH_WINDOWS = ((8192, 2), (4096, 4))
FLOOR = 3e-4  # amplitude beside a clip of RMS 1; anything softer is silence
ONSET_BANDS = 4
LAGS = 125  # frames of 16 ms: 2 s, the length of two slow beats


@lru_cache(maxsize=8)
def _triangles(kind: str, window: int) -> torch.Tensor:
    """Return filters [bands, bins] that are triangles from centre to centre, at least one bin wide to each side."""
    if kind == "mel":
        edges = torch.linspace(_mel(40.0), _mel(SAMPLE_RATE / 2), MELS + 2, dtype=torch.float64)
        hertz = 700 * (10 ** (edges / 2595) - 1)
    else:
        steps = torch.arange(-1, STEPS * OCTAVES + 1, dtype=torch.float64)
        hertz = 440 * 2 ** ((LOWEST_PITCH - 69) / 12 + steps / STEPS)
    bins = torch.arange(window // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / window
    bin_width = SAMPLE_RATE / window
    centre = hertz[1:-1, None]
    below = (centre - hertz[:-2, None]).clamp(min=bin_width)
    above = (hertz[2:, None] - centre).clamp(min=bin_width)
    away = bins - centre
    return (1 - torch.where(away < 0, -away / below, away / above)).clamp(min=0).float()


def _mel(hertz: float) -> float:
    return float(2595 * torch.log10(torch.tensor(1 + hertz / 700, dtype=torch.float64)))


def _magnitudes(wave: torch.Tensor, window: int, hop: int) -> torch.Tensor:
    """Return magnitudes [B, bins, T] in which a sine has its amplitude."""
    shape = torch.hann_window(window, device=wave.device)
    found = torch.stft(wave, window, hop, window=shape, pad_mode="constant", return_complex=True)
    return found.abs() * (2 / shape.sum())


def prepared(clip: Clip) -> torch.Tensor:
    """Return a clip as the judges hear it: mono at 16 kHz, float32 [samples], at most `MAX_SECONDS`.

    Raises
    ------
    InputError
        If it is shorter than `MIN_SECONDS`.
    """
    wave = clip.first(MAX_SECONDS).mono().resampled(SAMPLE_RATE).waveform[0]
    if len(wave) < MIN_SECONDS * SAMPLE_RATE:
        raise InputError(
            f"{clip.seconds:.2f} s of audio are too short to judge: gold needs {MIN_SECONDS:g} s"
        )
    return wave


def spectrograms(wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-mel [B, MELS, T] and the pitch spectrogram [B, OCTAVES * STEPS, U] of waves [B, samples].

    Loudness does not count: waves are brought to RMS 1.
    """
    wave = wave / (wave.square().mean(1, keepdim=True).sqrt() + 1e-5)
    mel = _triangles("mel", MEL_WINDOW).to(wave.device) @ _magnitudes(wave, MEL_WINDOW, MEL_HOP)
    parts, first = [], 0
    for window, octaves in PITCH_WINDOWS:
        bands = slice(first, first + octaves * STEPS)
        parts.append(
            _triangles("pitch", window)[bands].to(wave.device) @ _magnitudes(wave, window, PITCH_HOP)
        )
        first = bands.stop
    return (mel + FLOOR).log(), (torch.cat(parts, 1) + FLOOR).log()


def tempogram(mel: torch.Tensor) -> torch.Tensor:
    """Return the autocorrelation of onsets [B, ONSET_BANDS, LAGS] of log-mels [B, MELS, T], 1 at lag 0.

    A lag that does not fit into the clip twice is 0.
    """
    rises = mel.diff(dim=2).clamp(min=0)
    onsets = rises.unflatten(1, (ONSET_BANDS, -1)).mean(2)
    onsets = onsets - onsets.mean(2, keepdim=True)
    count = onsets.shape[2]
    spectrum = torch.fft.rfft(onsets, n=2 * count)
    sums = torch.fft.irfft(spectrum.abs().square(), n=2 * count)[..., : min(LAGS, count // 2) + 1]
    overlap = count - torch.arange(sums.shape[2], device=mel.device)
    means = sums / overlap
    found = means[..., 1:] / (means[..., :1] + 1e-6)
    return torch.nn.functional.pad(found, (0, LAGS - found.shape[2]))
