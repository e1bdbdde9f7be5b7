"""A tiny Audiobox-Aesthetics with random weights, as the package saves it and in its older checkpoint."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

CHECKPOINT = "checkpoint.pt"
_SIZES = {
    "encoder_layers": 2,
    "encoder_embed_dim": 32,
    "encoder_ffn_embed_dim": 48,
    "encoder_attention_heads": 2,
    "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * 2",
    "conv_pos": 16,
    "conv_pos_groups": 2,  # with 8 channels a group, convolutions of torch 2.13 are wrong in bfloat16 on some CPUs
}


@contextmanager
def small_wavlm() -> Iterator[None]:
    """While it lasts, the package builds a small WavLM: its sizes are constants there."""
    from audiobox_aesthetics.model import aes

    with patch.multiple(aes.DEFAULT_AUDIO_CFG, **_SIZES):
        yield


def build_tiny_audiobox(folder: Path) -> Path:
    """Write the folder, with `CHECKPOINT` beside the published files, and return it; `small_wavlm` must last."""
    import torch
    from audiobox_aesthetics.model.aes import AesMultiOutput

    scale = {"CE": (6.0, 1.5), "CU": (7.0, 1.2), "PC": (4.0, 2.0), "PQ": (7.5, 1.1)}
    target = {axis: {"mean": mean, "std": deviation} for axis, (mean, deviation) in scale.items()}
    config = {
        "proj_num_layer": 2,
        "proj_ln": True,
        "proj_act_fn": "gelu",
        "proj_dropout": 0.1,
        "nth_layer": 3,
        "use_weighted_layer_sum": True,
        "precision": "bf16",
        "normalize_embed": True,
        "output_dim": 1,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AesMultiOutput(**config, target_transform=target)
        for weights in model.layer_weights.values():
            torch.nn.init.normal_(weights)
    model.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["target_transform"] == target
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, "model_cfg": config, "target_transform": target}, folder / CHECKPOINT)
    return folder
