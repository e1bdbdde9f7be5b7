"""The convolutions with which MuQ's encoder begins, each with its batch normalisation folded in.

They are more than half of the audio tower's arithmetic. In evaluation a batch normalisation multiplies and shifts every
channel by constants, which the convolution before it can do as well (Jacob et al. 2018, section 3.2): that saves the
passes over 65 MB of activations for every 10 s of audio and, in bfloat16, turning them to float32 and back.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import conv2d, relu_

_Convolution = Callable[[torch.Tensor], torch.Tensor]


class FoldedSubsampling(nn.Module):
    """Gives what a `muq` `Conv2dSubsampling` gives in evaluation mode, whose parameters it holds under their names.

    What is folded is a copy, made at the first call on a device in a numeric type, and anew when weights are loaded.

    Parameters
    ----------
    original
        Module to stand in for.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.conv, self.linear = original.conv, original.linear
        self.folded: dict[tuple[torch.device, torch.dtype], list[list[_Convolution | None]]] = {}
        self.register_load_state_dict_post_hook(lambda module, _: module.folded.clear())

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Map `[B, bands, T]` to `[B, T // 4, dim]`."""
        kind = spectrogram.device.type
        lower = kind != "meta" and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if lower else spectrogram.dtype
        x = spectrogram[:, None].to(dtype)
        if dtype == torch.bfloat16:  # oneDNN's kernels for it read channels last
            x = x.contiguous(memory_format=torch.channels_last)
        for first, second, shortcut in self._convolutions(x.device, dtype):
            inner = second(relu_(first(x)))
            x = relu_(inner.add_(x if shortcut is None else shortcut(x)))
        return self.linear(x.permute(0, 3, 1, 2).flatten(start_dim=2))

    def _convolutions(self, device: torch.device, dtype: torch.dtype) -> list[list[Any]]:
        """Return the three convolutions of each block; no third where the input itself is added."""
        found = self.folded.get((device, dtype))
        if found is None:
            found = [_block(block, dtype) for block in self.conv]
            self.folded.clear()
            self.folded[device, dtype] = found
        return found


@torch.no_grad()
def _block(block: Any, dtype: torch.dtype) -> list[_Convolution | None]:
    first, second = _fold(block.conv1, block.bn1, dtype), _fold(block.conv2, block.bn2, dtype)
    return [first, second, _fold(block.conv3, block.bn3, dtype) if block.diff else None]


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d, dtype: torch.dtype) -> _Convolution:
    """Return a convolution that normalises too."""
    if norm.running_mean is None or norm.running_var is None or convolution.bias is None:
        raise TypeError("expected a convolution with a bias and a normalisation that keeps its statistics")
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = convolution.weight.double() * scale[:, None, None, None]
    bias = (convolution.bias.double() - norm.running_mean.double()) * scale + norm.bias.double()
    weight = weight.to(dtype)
    if dtype == torch.bfloat16:
        weight = weight.contiguous(memory_format=torch.channels_last)
    return partial(conv2d, weight=weight, bias=bias.to(dtype), stride=convolution.stride, padding=1)
