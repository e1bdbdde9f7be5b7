"""The lab's `StableAudioDiTModel` before its training.

Its blocks start as torch draws them, with three differences that spare a small model a long search:

- It begins by predicting 0, the best answer about latents that it knows nothing of: its last layer starts at zero, and
  the branches of the blocks start small.
- The noise level stands only in the position before the first frame, one of hundreds. One head of each block starts by
  looking there: its queries have a constant part, which meets the keys of a channel that is large at that position
  alone. It uses the part of the head that carries no rotary position, so distance does not matter.
- Frames enter with standard deviation 1 in each channel.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from music.library_repairs import repair_torchaudio

MARK, ASK = 0, 1  # channels: large at the position of the noise level; the constant part of queries
MARKED = 8.0  # value there, against deviation 1 of the others
ATTENTION = 7.0  # logarithm of how much more a first head looks there than elsewhere


@dataclass(frozen=True)
class DitShape:
    """Sizes of the transformer."""

    layers: int = 4
    heads: int = 5
    head_size: int = 32  # channels of a head, half of which carry rotary positions

    @property
    def width(self) -> int:
        """Channels of the blocks."""
        return self.heads * self.head_size


def build_dit(shape: DitShape, channels: int, frames: int, condition: int) -> Any:
    """Return the `StableAudioDiTModel` as it is before training.

    Parameters
    ----------
    channels, frames
        Size of the latents.
    condition
        Channels of text and seconds.
    """
    repair_torchaudio()
    from diffusers import StableAudioDiTModel

    transformer: Any = StableAudioDiTModel(
        sample_size=frames,
        in_channels=channels,
        out_channels=channels,
        num_layers=shape.layers,
        attention_head_dim=shape.head_size,
        num_attention_heads=shape.heads,
        num_key_value_attention_heads=shape.heads,
        cross_attention_dim=shape.width,
        time_proj_dim=128,
        global_states_input_dim=2 * condition,
        cross_attention_input_dim=condition,
    )
    with torch.no_grad():
        nn.init.zeros_(transformer.preprocess_conv.weight)
        nn.init.normal_(transformer.proj_in.weight, std=channels**-0.5)
        transformer.proj_in.weight[MARK] = 0
        nn.init.zeros_(transformer.proj_out.weight)
        nn.init.zeros_(transformer.postprocess_conv.weight)
        last = transformer.timestep_proj[-1]
        last.weight *= 8  # to about deviation 1
        last.weight[MARK], last.bias[MARK] = 0, MARKED
        transformer.global_proj[-1].weight[MARK] = 0
        for block in transformer.transformer_blocks:
            for branch in (block.attn1.to_out[0], block.attn2.to_out[0], block.ff.net[-1]):
                branch.weight *= (3 * shape.layers) ** -0.5
                branch.weight[MARK] = 0
            _look_at_the_noise_level(block, shape.head_size)
    return transformer


def _look_at_the_noise_level(block: Any, head_size: int) -> None:
    """Let the first head of a block begin by looking at the position that `MARK` tells apart."""
    block.norm1.weight[ASK], block.norm1.bias[ASK] = 0, 1
    plain = slice(head_size // 2, head_size)
    # after the norm a mark of 8 among channels of deviation 1 is about 6 for widths over 100
    strength = (ATTENTION / 6 * head_size**0.5 / (head_size // 2)) ** 0.5
    for linear, channel in ((block.attn1.to_q, ASK), (block.attn1.to_k, MARK)):
        linear.weight[:head_size] *= 0.1
        linear.weight[plain, channel] = strength
