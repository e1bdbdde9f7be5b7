"""The transformer of a Stable Audio with a low-rank update (LoRA, arXiv 2106.09685) that can be switched off."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from generators.stable_audio.velocity_target import times_of
from rlhf.stable_audio.batches import Batch

_TARGETS = r"transformer_blocks\.\d+\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ff\.net\.(0\.proj|2))"


class VelocityModel(nn.Module):
    """A transformer with an update that can be switched off.

    Parameters
    ----------
    transformer
        A `StableAudioDiTModel`.
    rank
        Rank of the update.
    seed
        Seed of its first values.
    guidance
        Scale with which velocities are guided away from those without a text; 1 is without.
    """

    def __init__(self, transformer: Any, rank: int, seed: int, guidance: float = 1.0) -> None:
        from diffusers.models.embeddings import get_1d_rotary_pos_embed
        from peft import LoraConfig, get_peft_model

        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = LoraConfig(r=rank, lora_alpha=rank, target_modules=_TARGETS)
            self.transformer: Any = get_peft_model(transformer, config)
        own = transformer.config
        self._rotary = get_1d_rotary_pos_embed(
            own.attention_head_dim // 2, own.sample_size + 1, use_real=True, repeat_interleave_real=False
        )
        self._guidance = guidance

    def forward(self, clips: Batch) -> torch.Tensor:
        """Return the velocities of clips, `[B, channels, frames]`."""
        attended, rows = clips.attended, [clips]
        if self._guidance != 1:
            attended, rows = torch.cat([torch.zeros_like(attended), attended]), [clips, clips]
        found = self.transformer(
            torch.cat([row.noisy for row in rows]),
            times_of(torch.cat([row.sigmas for row in rows])),
            encoder_hidden_states=attended,
            global_hidden_states=torch.cat([row.prepended for row in rows]),
            rotary_embedding=tuple(part.to(clips.noisy.device) for part in self._rotary),
            return_dict=False,
        )[0]
        if self._guidance == 1:
            return found
        away, towards = found.chunk(2)
        return torch.lerp(away, towards, self._guidance)

    @torch.no_grad()
    def before(self, clips: Batch) -> torch.Tensor:
        """Return the velocities of the transformer without its update."""
        with self.transformer.disable_adapter():
            return self(clips)

    def update(self) -> dict[str, torch.Tensor]:
        """Return what learns, by name."""
        return {name: weight for name, weight in self.named_parameters() if weight.requires_grad}
