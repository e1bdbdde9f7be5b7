"""The transformer blocks of CMI-RM (arXiv 2603.00610), with the published parameter names.

Every mask is a boolean `[B, T]`, True where a frame is valid. A valid frame's output never depends on
invalid ones.
"""

import torch
from torch import nn
from torch.nn import functional as F

from reward.cmi_rm.config import CMIRMConfig
from reward.cmi_rm.dropout import Dropout

_SELF_SCALE = 8.0  # factor of the normalised dot products


class GainNorm(nn.Module):
    """Layer normalisation with a learned gain and no bias."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.learned_gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[..., dim]` to `[..., dim]`."""
        return F.layer_norm(x, x.shape[-1:], self.learned_gamma)


class GEGLU(nn.Module):
    """Value times GELU of the gate; the first half is the value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[..., 2 * hidden]` to `[..., hidden]`."""
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)


def feed_forward(config: CMIRMConfig) -> nn.Sequential:
    """Return the block GainNorm, Linear, GEGLU, Dropout, Linear of hidden size int(dim * ff_mult * 2/3)."""
    dim, hidden = config.dim, int(config.dim * config.ff_mult * 2 / 3)
    expand, contract = nn.Linear(dim, 2 * hidden, bias=False), nn.Linear(hidden, dim, bias=False)
    return nn.Sequential(GainNorm(dim), expand, GEGLU(), Dropout(config.ff_dropout), contract)


def _split(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # [B, T, H * d] -> [B, H, T, d]


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float, dropout: Dropout
) -> torch.Tensor:
    """Return `[B, Tq, H * d]`: attention of `q` over the valid ones of `k`, zero for items that have none."""
    zeros = torch.zeros(mask.shape, dtype=q.dtype, device=q.device)
    bias = zeros.masked_fill(~mask, torch.finfo(q.dtype).min)[:, None, None, :]
    if dropout.active:
        out = dropout((scale * q @ k.transpose(2, 3) + bias).softmax(dim=-1)) @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    out = out * mask.any(dim=1)[:, None, None, None]
    return out.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Pre-norm self-attention whose queries and keys are normalised to length 1."""

    def __init__(self, config: CMIRMConfig) -> None:
        super().__init__()
        dim, heads, dim_head, dropout = config.dim, config.heads, config.dim_head, config.attn_dropout
        self.heads, self.dropout = heads, Dropout(dropout)
        self.norm = GainNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.q_scale = nn.Parameter(torch.ones(dim_head))
        self.k_scale = nn.Parameter(torch.ones(dim_head))
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), Dropout(dropout))

    def forward(self, x: torch.Tensor, mask: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Return `[B, T - start, dim]`: attention of the frames from `start` on over all of `x` `[B, T, dim]`."""
        x = self.norm(x)
        k, v = self.to_kv(x).chunk(2, dim=-1)
        q, k, v = (_split(part, self.heads) for part in (self.to_q(x[:, start:]), k, v))
        q, k = F.normalize(q, dim=-1) * self.q_scale, F.normalize(k, dim=-1) * self.k_scale
        return self.to_out(_attend(q, k, v.to(q.dtype), mask, _SELF_SCALE, self.dropout))


class CrossAttention(nn.Module):
    """Pre-norm attention of one stream over another, in plain dot products."""

    def __init__(self, config: CMIRMConfig) -> None:
        super().__init__()
        dim, heads, dim_head, dropout = config.dim, config.heads, config.dim_head, config.attn_dropout
        self.heads, self.dropout, self.scale = heads, Dropout(dropout), dim_head**-0.5
        self.norm_q, self.norm_kv = GainNorm(dim), GainNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False), Dropout(dropout))

    def forward(self, x: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, dim]` and a source `[B, S, dim]` with its mask `[B, S]` to `[B, T, dim]`.

        An item whose source has no valid frame (S may be 0) gets zeros.
        """
        if source.shape[1] == 0:
            return torch.zeros_like(x)
        k, v = self.to_kv(self.norm_kv(source)).chunk(2, dim=-1)
        q, k, v = (_split(part, self.heads) for part in (self.to_q(self.norm_q(x)), k, v))
        return self.to_out(_attend(q, k, v, mask, self.scale, self.dropout))


class Transformer(nn.Module):
    """A stack of self-attention and feed-forward blocks, without positions and without a final norm."""

    def __init__(self, config: CMIRMConfig, depth: int) -> None:
        super().__init__()
        blocks = [nn.ModuleList([SelfAttention(config), feed_forward(config)]) for _ in range(depth)]
        self.layers = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Map `x` `[B, T, dim]` with its mask `[B, T]` to `[B, T - start, dim]`; T may be 0.

        Only frames from `start` on are returned, so the last block works on no others.
        """
        if x.shape[1] == 0:
            return x
        for index, block in enumerate(self.layers, start=1):
            first = start if index == len(self.layers) else 0
            attention, feed = block.children()
            x = x[:, first:] + attention(x, mask, first)
            x = x + feed(x)
        return x if self.layers else x[:, start:]


class DecoderLayer(nn.Module):
    """Self-attention on the audio, cross-attention to the prompt, feed-forward; a residual around each."""

    def __init__(self, config: CMIRMConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.cross_attn = CrossAttention(config)
        self.ffn = feed_forward(config)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, prompt: torch.Tensor, prompt_mask: torch.Tensor
    ) -> torch.Tensor:
        """Map audio `[B, T, dim]` and prompt `[B, S, dim]` with their masks to `[B, T, dim]`."""
        x = x + self.self_attn(x, mask)
        x = x + self.cross_attn(x, prompt, prompt_mask)
        return x + self.ffn(x)
