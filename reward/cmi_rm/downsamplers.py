"""Downsamplers: `[B, T, D]` becomes `[B, T // factor, D]`.

The published code trims a batch to a multiple of the factor, so that in a padded batch an item keeps frames it would
lose alone. Here every item is trimmed by its own length: its result is that of the item alone, whatever the padding.
Streams are given with `lengths` `[B]` (valid frames come first) instead of a mask.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from reward.cmi_rm.config import DownsamplerConfig
from reward.cmi_rm.dropout import Dropout

Stream = tuple[torch.Tensor, torch.Tensor]  # x [B, T, D], lengths [B]


def valid(lengths: torch.Tensor, frames: int) -> torch.Tensor:
    """Return the mask `[B, frames]` of streams of `lengths` `[B]`."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


def _zero_beyond(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return x.masked_fill(~valid(lengths, x.shape[1])[..., None], 0.0)


def _trim(x: torch.Tensor, lengths: torch.Tensor, stride: int) -> Stream:
    """Cut x and each item to a multiple of the stride, zeros beyond; lengths stay in input frames."""
    kept = lengths // stride * stride
    return _zero_beyond(x[:, : x.shape[1] // stride * stride], kept), kept


class Identity(nn.Module):
    """Kind ``none``."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Stream:
        """Return the stream as it is."""
        return x, lengths


class Mean(nn.Module):
    """Kind ``mean``: the mean of every `factor` frames."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Stream:
        """Shorten a stream by the factor."""
        x, lengths = _trim(x, lengths, self.factor)
        return x.unflatten(1, (-1, self.factor)).mean(dim=2) if x.shape[1] else x, lengths // self.factor


class MeanMLP(nn.Module):
    """Kind ``mean+mlp``: `Mean`, then an MLP of two layers (or before it, with `pre_mlp`)."""

    def __init__(self, dim: int, config: DownsamplerConfig) -> None:
        super().__init__()
        hidden = int(dim * config.mlp_ratio)
        drop = config.dropout
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.SiLU(), Dropout(drop), nn.Linear(hidden, dim), Dropout(drop)
        )
        self.mean = Mean(config.factor)
        self.pre_mlp = config.pre_mlp and config.factor > 1

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Stream:
        """Shorten a stream by the factor."""
        x, lengths = self.mean(self.mlp(x) if self.pre_mlp else x, lengths)
        return x if self.pre_mlp else _zero_beyond(self.mlp(x), lengths), lengths


class ConvBlock(nn.Module):
    """One strided depthwise convolution, LayerNorm, SiLU; `gated`: a pointwise one and a GLU before it."""

    def __init__(self, dim: int, stride: int, config: DownsamplerConfig, gated: bool) -> None:
        super().__init__()
        self.stride = stride
        if gated:
            self.pw1 = nn.Conv1d(dim, 2 * dim, 1, bias=False)
        self.gated = gated
        size = config.kernel_size
        self.dw = nn.Conv1d(dim, dim, size, stride=stride, padding=size // 2, groups=dim, bias=False)
        self.ln = nn.LayerNorm(dim) if config.use_layernorm else nn.Identity()

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Stream:
        """Shorten a stream by the stride."""
        x, lengths = _trim(x, lengths, self.stride)
        lengths = lengths // self.stride
        if x.shape[1] == 0:
            return x, lengths
        x = x.transpose(1, 2)
        if self.gated:
            x = F.glu(self.pw1(x), dim=1)
        x = F.silu(self.ln(self.dw(x).transpose(1, 2)))
        return _zero_beyond(x, lengths), lengths


class Conv(nn.Module):
    """Kind ``conv``: one block that takes the whole factor."""

    def __init__(self, dim: int, config: DownsamplerConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ConvBlock(dim, config.factor, config, gated=False)])
        self.idle = config.factor == 1  # as published: with factor 1 the weights exist and are not used

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Stream:
        """Shorten a stream by the factor."""
        return (x, lengths) if self.idle else self.blocks[0](x, lengths)


class ConvTwice(nn.Module):
    """Kinds ``conv*2`` and ``gluconv*2+pw``: two blocks that share the factor; the latter ends pointwise."""

    def __init__(self, dim: int, config: DownsamplerConfig, gated: bool) -> None:
        super().__init__()
        first, second = two_strides(config.factor)
        self.block1 = ConvBlock(dim, first, config, gated)
        self.block2 = ConvBlock(dim, second, config, gated)
        if gated:
            self.final_pw = nn.Conv1d(dim, dim, 1, bias=False)
        self.gated = gated
        self.idle = config.factor == 1

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Stream:
        """Shorten a stream by the factor."""
        if self.idle:
            return x, lengths
        x, lengths = self.block2(*self.block1(x, lengths))
        if self.gated and x.shape[1]:
            x = self.final_pw(x.transpose(1, 2)).transpose(1, 2)
        return x, lengths


def two_strides(factor: int) -> tuple[int, int]:
    """Return the strides of two stages of a given product: smallest maximum; 3 first, else the smaller first."""
    low = max(
        low for low in range(1, math.isqrt(factor) + 1) if factor % low == 0
    )  # 1 for a prime, as published
    high = factor // low
    return (high, low) if high == 3 else (low, high)


def build_downsampler(dim: int, config: DownsamplerConfig) -> nn.Module:
    """Return the downsampler of a config for streams of width `dim`."""
    if config.kind == "none":
        return Identity()
    if config.kind == "mean":
        return Mean(config.factor)
    if config.kind == "mean+mlp":
        return MeanMLP(dim, config)
    if config.kind == "conv":
        return Conv(dim, config)
    return ConvTwice(dim, config, gated=config.kind == "gluconv*2+pw")
