"""Low-rank updates (LoRA, arXiv 2106.09685) of a MusicGen's decoder: what post-training learns.

The reference of every algorithm is the same model with the update switched off.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.tensor import DTensor

_DECODER = (
    r".*decoder\.model\.decoder\.layers\.\d+\.(self_attn|encoder_attn)\.(q_proj|k_proj|v_proj|out_proj)"
)
_FEED_FORWARD = r".*decoder\.model\.decoder\.layers\.\d+\.(fc1|fc2)"


def lora_config(rank: int) -> Any:
    """Return the `peft.LoraConfig` for all linear layers of the decoder's blocks; the update is scaled by 1.

    Parameters
    ----------
    rank
        Of each update.
    """
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=rank, target_modules=f"({_DECODER}|{_FEED_FORWARD})")


@torch.no_grad()
def updated_weights(decoder: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a decoder's layers with their updates, by the names that they have without.

    Where processes share the weights (FSDP), all must call; each gets the whole ones.

    Parameters
    ----------
    decoder
        A `MusicgenForCausalLM` that peft has put updates into.
    """
    return {
        f"{name}.weight": _whole(module.base_layer.weight)
        + _whole(module.get_delta_weight(module.active_adapters[0]))
        for name, module in decoder.named_modules()
        if hasattr(module, "base_layer")
    }


def _whole(weight: torch.Tensor) -> torch.Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight
