"""The power spectrogram with which MuQ's hearing begins, without the absolute values of complex numbers."""

from typing import Any

import torch
from torch import nn

from music.errors import InputError

_FRAMES_IN_CACHE = 32  # of 2,048 samples: what is made of them on the way stays in a core's cache


class PowerSpectrogram(nn.Module):
    """Gives what a `torchaudio.transforms.Spectrogram` of power 2 gives.

    That one squares the absolute value of complex numbers, which on a CPU takes longer than the transform itself.

    Parameters
    ----------
    original
        Spectrogram to stand in for.

    Raises
    ------
    InputError
        If it has settings other than those of MuQ.
    """

    window: torch.Tensor

    def __init__(self, original: Any) -> None:
        super().__init__()
        found = {
            name: getattr(original, name) for name in ("power", "pad", "normalized", "center", "pad_mode")
        }
        known = {"power": 2.0, "pad": 0, "normalized": False, "center": True, "pad_mode": "reflect"}
        if found != known or original.win_length != original.n_fft or not original.onesided:
            raise InputError(
                f"this release of muq hears through another spectrogram: {found}, known is {known}"
            )
        self.n_fft, self.hop_length = original.n_fft, original.hop_length
        self.register_buffer("window", original.window)

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """Return `[B, n_fft // 2 + 1, T]` of waves `[B, samples]`."""
        half = self.n_fft // 2
        ends = waves[:, 1 : half + 1].flip(1), waves[:, -half - 1 : -1].flip(1)
        frames = torch.cat((ends[0], waves, ends[1]), dim=1).unfold(1, self.n_fft, self.hop_length)
        if waves.requires_grad and torch.is_grad_enabled():
            # at once: what is written into parts of a tensor, as below, has no gradient
            spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window))
            return spectrum.square().sum(dim=-1).transpose(1, 2)
        power = waves.new_empty(*frames.shape[:2], half + 1)
        at_once = _FRAMES_IN_CACHE if waves.device.type == "cpu" else frames.shape[1]
        for some, target in zip(frames.split(at_once, dim=1), power.split(at_once, dim=1), strict=True):
            squares = torch.view_as_real(torch.fft.rfft(some * self.window)).square_()
            torch.add(squares[..., 0], squares[..., 1], out=target)
        return power.transpose(1, 2)
