"""Stable Audio Open of its published size with random weights: as fast as the true one, and nothing to download."""

from dataclasses import dataclass
from typing import Any

import torch

from experiments.benchmarks.random_musicgen import random_tokenizer
from generators.stable_audio.diffusers.loading import StableAudioParts


@dataclass(frozen=True)
class Size:
    """How large a Stable Audio is.

    Attributes
    ----------
    layers, heads, key_heads
        Of the transformer, whose heads are 64 wide; `key_heads` are those of keys and values in cross-attention.
    frames, latent
        Length and channels of the latents.
    text_layers, width
        Of the text encoder, whose width is also that of the conditions.
    channels
        Of the last layer of the autoencoder.
    """

    layers: int = 24
    heads: int = 24
    key_heads: int = 12
    frames: int = 1024
    latent: int = 64
    text_layers: int = 12
    width: int = 768
    channels: int = 128


SIZES = {
    "stable-audio-tiny": Size(1, 2, 1, frames=64, latent=8, text_layers=1, width=64, channels=4),
    "stable-audio-open-1.0": Size(),
}


def random_stable_audio(size: Size) -> StableAudioParts:
    """Return the parts of a `StableAudioPipeline` in evaluation mode, float32."""
    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    from diffusers import AutoencoderOobleck, CosineDPMSolverMultistepScheduler, StableAudioDiTModel
    from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    text = T5Config(
        d_model=size.width, d_ff=4 * size.width, num_layers=size.text_layers, num_heads=size.width // 64
    )
    transformer: Any = StableAudioDiTModel(
        sample_size=size.frames,
        in_channels=size.latent,
        out_channels=size.latent,
        num_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_attention_heads=size.key_heads,
        cross_attention_dim=64 * size.key_heads,
        global_states_input_dim=2 * size.width,
        cross_attention_input_dim=size.width,
    )
    vae: Any = AutoencoderOobleck(
        encoder_hidden_size=size.channels,
        decoder_channels=size.channels,
        decoder_input_channels=size.latent,
    )
    return StableAudioParts(
        vae.eval(),
        T5EncoderModel(text).eval(),
        StableAudioProjectionModel(size.width, size.width, 0, 512).eval(),
        transformer.eval(),
        CosineDPMSolverMultistepScheduler(),
        random_tokenizer(),
    )
