"""How far two sounds are apart to an ear: magnitudes of short-time spectra at several resolutions.

For each resolution two distances (Yamamoto et al. 2020): of the logarithms, in which faint overtones count, and of
the magnitudes themselves, relative to those of the truth, in which loud notes count.
"""

from __future__ import annotations

import torch

RESOLUTIONS = (2048, 512, 128)  # samples of a window; the hop is a quarter
FLOOR = 1e-3  # amplitude below which nothing is heard: 60 dB under full scale


def spectral_distances(found: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean distance of log magnitudes, in nats, and the relative distance of magnitudes.

    Parameters
    ----------
    found, truth
        Waveforms, [B, samples].
    """
    logs, magnitudes = [], []
    for size in RESOLUTIONS:
        a, b = _magnitudes(found, size), _magnitudes(truth, size)
        logs.append(((a + FLOOR).log() - (b + FLOOR).log()).abs().mean())
        magnitudes.append((a - b).square().sum().sqrt() / (b.square().sum().sqrt() + FLOOR))
    return torch.stack(logs).mean(), torch.stack(magnitudes).mean()


def _magnitudes(wave: torch.Tensor, size: int) -> torch.Tensor:
    """Return magnitudes [B, bins, frames], a sine of amplitude 1 being 1."""
    window = torch.hann_window(size)
    spectrum = torch.stft(wave, size, size // 4, window=window / (0.5 * window.sum()), return_complex=True)
    # the square root has no slope at 0
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()
