"""Sound at another rate, by soxr, which gradients pass through."""

from typing import Any, cast

import numpy as np
import torch

_REACH = 64  # samples; as many as a rounded length can lack, and more


def resample(waveform: torch.Tensor, old: int, new: int) -> torch.Tensor:
    """Return a waveform at another rate: soxr HQ, exactly round(samples * new / old) samples.

    A gradient of what comes of it reaches the waveform. soxr convolves with a symmetric kernel, so that the adjoint of
    resampling is to resample back, times new / old; of white noise it is off by 1e-3 at most, in the band around the
    lower of the two Nyquist frequencies where the kernel falls off.

    Parameters
    ----------
    waveform
        `[channels, samples]`, float32, on any device.
    old, new
        Its rate and the one wanted, Hz.

    Returns
    -------
    torch.Tensor
        `[channels, samples]`, float32, on the CPU.
    """
    return cast(torch.Tensor, _Resampling.apply(waveform, old, new))


class _Resampling(torch.autograd.Function):
    """The operation and its adjoint."""

    @staticmethod
    def forward(ctx: Any, waveform: torch.Tensor, old: int, new: int) -> torch.Tensor:
        ctx.rates, ctx.samples, ctx.device = (old, new), waveform.shape[1], waveform.device
        return _resampled(waveform, old, new, round(waveform.shape[1] * new / old))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,), (old, new) = gradients, ctx.rates
        longer = torch.nn.functional.pad(gradient, (0, _REACH))  # else the last samples may not come back
        back = _resampled(longer, new, old, ctx.samples) * (new / old)
        return back.to(ctx.device), None, None


def _resampled(waveform: torch.Tensor, old: int, new: int, samples: int) -> torch.Tensor:
    import soxr

    frames = soxr.resample(waveform.detach().T.contiguous().cpu().numpy(), old, new, quality="HQ").reshape(
        -1, len(waveform)
    )[:samples]
    # padding by torch takes as long as resampling
    padded = np.zeros((len(waveform), samples), np.float32)
    padded[:, : len(frames)] = frames.T
    return torch.from_numpy(padded)
