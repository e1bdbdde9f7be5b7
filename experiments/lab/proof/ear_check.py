"""What a musician's ear notices first, as numbers: tuning, beat, silence and clipping of a clip.

Each is in [0, 1] and needs no training:

- in_tune: share of the energy of spectral peaks (100 to 2,000 Hz) that lies within 20 cents of a semitone of equal
  temperament (A4 = 440 Hz). Noise has 0.4.
- regularity: highest correlation of the onset envelope with itself at a lag of 0.2 to 1.5 s. A metronome has 1.
- silence: share of frames more than 50 dB below the loudest.
- clipping: share of samples at the clip's own ceiling (within 0.1 % of its peak).
"""

import numpy as np
import torch

TOLERANCE = 0.2  # semitones
LOW, HIGH = 100, 2_000  # Hz; the peaks that count lie between
FAINT = 0.05  # share of the highest peak of a frame below which a peak does not count
LAGS = (0.2, 1.5)  # s
SILENCE = -50  # dB, against the loudest frame


def ear_check(wave: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Return the four numbers of a waveform, float32 [samples]."""
    frames = torch.from_numpy(wave).unfold(0, 512, 512)
    loudness = frames.square().mean(1).sqrt()
    peak = max(float(np.abs(wave).max()), 1e-9)
    return {
        "in_tune": _in_tune(wave, sample_rate),
        "regularity": _regularity(wave, sample_rate),
        "silence": float((loudness < max(loudness.max().item(), 1e-9) * 10 ** (SILENCE / 20)).float().mean()),
        "clipping": float((np.abs(wave) >= 0.999 * peak).mean()),
    }


def _magnitudes(wave: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    window = torch.hann_window(n_fft)
    return torch.stft(torch.from_numpy(wave), n_fft, hop, window=window, return_complex=True).abs().numpy()


def _in_tune(wave: np.ndarray, sample_rate: int) -> float:
    n_fft = 4096
    spectrum = _magnitudes(wave, n_fft, 1024)
    middle, below, above = spectrum[1:-1], spectrum[:-2], spectrum[2:]
    bins = np.arange(1, len(spectrum) - 1)[:, None] * sample_rate / n_fft
    peaks = (middle > below) & (middle >= above) & (middle > FAINT * spectrum.max(0))
    peaks &= (bins >= LOW) & (bins <= HIGH)
    if not peaks.any():
        return 0.0
    # a parabola through the logarithms of three bins finds the frequency between them
    left, top, right = (np.log(part[peaks] + 1e-12) for part in (below, middle, above))
    shift = 0.5 * (left - right) / np.minimum(left - 2 * top + right, -1e-9)
    frequency = (np.nonzero(peaks)[0] + 1 + shift) * sample_rate / n_fft
    semitones = 69 + 12 * np.log2(frequency / 440)
    energy = middle[peaks] ** 2
    return float(energy[np.abs(semitones - np.round(semitones)) <= TOLERANCE].sum() / energy.sum())


def _regularity(wave: np.ndarray, sample_rate: int) -> float:
    hop = sample_rate // 100
    loudness = np.log(_magnitudes(wave, 512, hop) + 1e-3)
    onsets = np.maximum(np.diff(loudness, axis=1), 0).mean(0)
    onsets = onsets - onsets.mean()
    first, last = (round(lag * sample_rate / hop) for lag in LAGS)
    found = [0.0]
    for lag in range(first, min(last, len(onsets) // 2) + 1):
        early, late = onsets[:-lag], onsets[lag:]
        found.append(float(early @ late / max(np.linalg.norm(early) * np.linalg.norm(late), 1e-9)))
    return max(found)
