"""A tiny model in the format of stable-audio-tools with random weights, its T5 in a folder beside the weights."""

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from tests.tiny_stable_audio import t5_config, t5_tokenizer


def build_tiny_stability_audio(
    folder: Path,
    objective: str = "rf_denoiser",
    channels: int = 2,
    ratios: Sequence[int] = (4, 4, 8),
    sample_rate: int = 8_000,
    frames: int = 64,
    latent: int = 8,
    width: int = 32,
    weights: str = "model.safetensors",
) -> Path:
    """Write the folder and return it.

    Parameters
    ----------
    folder
        Folder to write.
    objective
        ``rf_denoiser`` makes it like Stable Audio Open Small, ``v`` like Stable Audio Open 1.0.
    channels, sample_rate
        Format of the audio.
    ratios
        Strides of the autoencoder, first that next to the audio.
    frames, latent
        Length and channels of the latents, of which every clip is the beginning.
    width
        Width of text encoder and conditions.
    weights
        Name of the file with the weights.
    """
    import torch

    from generators.stable_audio.tools.loading import create_model
    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = tiny_config(objective, channels, ratios, sample_rate, frames, latent, width)
        save_t5(folder / "t5-base", width)
        model = create_model(config, folder / "t5-base")
        with torch.no_grad():
            # what starts at zero is given a say: text, seconds and guidance change what is made
            for parameter in model.model.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.1)
            autoencoder = model.pretransform.model
            audio = autoencoder.decode(torch.randn(1, latent, frames))
            autoencoder.decoder.layers[-2].weight_g.mul_(0.2 / audio.std())  # of ordinary loudness
    (folder / "model_config.json").write_text(json.dumps(config))
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    if weights.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(tensors, folder / weights)
    else:
        torch.save({"state_dict": tensors}, folder / weights)
    return folder


def tiny_config(
    objective: str,
    channels: int,
    ratios: Sequence[int],
    sample_rate: int,
    frames: int,
    latent: int,
    width: int,
) -> dict[str, Any]:
    """Return a ``model_config.json`` with the keys of the published ones."""
    ratio = prod(ratios)
    sides = {"channels": 4, "c_mults": [1, 2, 4][: len(ratios)], "strides": list(ratios), "use_snake": True}
    encoder = {"in_channels": channels, "latent_dim": 2 * latent, **sides}
    decoder = {"out_channels": channels, "latent_dim": latent, "final_tanh": False, **sides}
    numbers = ["seconds_total"] if objective == "rf_denoiser" else ["seconds_start", "seconds_total"]
    longest = {"min_val": 0, "max_val": 256}
    return {
        "model_type": "diffusion_cond",
        "sample_size": frames * ratio,
        "sample_rate": sample_rate,
        "audio_channels": channels,
        "model": {
            "pretransform": {
                "type": "autoencoder",
                "iterate_batch": True,
                "config": {
                    "encoder": {"type": "oobleck", "requires_grad": False, "config": encoder},
                    "decoder": {"type": "oobleck", "config": decoder},
                    "bottleneck": {"type": "vae"},
                    "latent_dim": latent,
                    "downsampling_ratio": ratio,
                    "io_channels": channels,
                },
            },
            "conditioning": {
                "configs": [
                    {"id": "prompt", "type": "t5", "config": {"t5_model_name": "t5-base", "max_length": 128}},
                    *({"id": name, "type": "number", "config": longest} for name in numbers),
                ],
                "cond_dim": width,
            },
            "diffusion": {
                "type": "dit",
                "diffusion_objective": objective,
                "cross_attention_cond_ids": ["prompt", *numbers],
                "global_cond_ids": numbers,
                "config": {
                    "io_channels": latent,
                    "embed_dim": 64,
                    "depth": 2,
                    "num_heads": 2,
                    "cond_token_dim": width,
                    "global_cond_dim": width * len(numbers),
                    "project_cond_tokens": False,
                    "transformer_type": "continuous_transformer",
                },
            },
            "io_channels": latent,
        },
    }


def save_t5(folder: Path, width: int) -> None:
    """Write a tiny T5 with random weights and its tokenizer."""
    from transformers import T5EncoderModel

    tokenizer = t5_tokenizer()
    config = t5_config(len(tokenizer), width, initializer_factor=3.0)
    T5EncoderModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
