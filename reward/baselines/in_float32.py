"""A module that computes in float32 inside autocast.

It is for both ends of a model: bfloat16 would round the samples of audio, and scores until they tie, to eight bits.
"""

import torch
from torch import nn


class InFloat32(nn.Module):
    """A stand-in for a module of one tensor, whose weights are in float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the module gives for `x`."""
        with torch.autocast(x.device.type, enabled=False):
            return self.module(x.float())
