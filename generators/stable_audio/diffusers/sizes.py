"""The published size of Stable Audio Open, and models of it with random weights or none: nothing to download."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from generators.diffusion.sampling import given_options
from generators.stable_audio.diffusers.generator import StableAudio
from generators.stable_audio.diffusers.loading import FORMAT, StableAudioParts
from music.devices import find_dtype
from music.library_repairs import repair_torchaudio
from music.shapes import WEIGHTLESS, without_weights
from music.word_tokenizer import word_tokenizer


@dataclass(frozen=True)
class StableAudioSize:
    """Size of a Stable Audio; heads are 64 wide, and conditions are as wide as the text encoder."""

    layers: int = 24
    heads: int = 24
    key_heads: int = 12  # heads of keys and values in cross-attention
    frames: int = 1024  # length of the latents
    latent: int = 64  # channels of the latents
    text_layers: int = 12
    width: int = 768
    channels: int = 128  # channels of the autoencoder's last layer


STABLE_AUDIOS = {
    "stable-audio-tiny": StableAudioSize(1, 2, 1, frames=64, latent=8, text_layers=1, width=64, channels=4),
    "stable-audio-open-1.0": StableAudioSize(),
}


def random_stable_audio(size: StableAudioSize) -> StableAudioParts:
    """Return the parts of a `StableAudioPipeline` in evaluation mode, float32."""
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
        word_tokenizer(),
    )


def shape_of_stable_audio(
    name: str,
    dtype: str,
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str | None = None,
    batch_size: int = 4,
) -> StableAudio:
    """Return a published Stable Audio without weights; see `generators.published.load_shape`."""
    options = replace(StableAudio.DEFAULTS, **given_options(steps, guidance, negative_prompt))
    with without_weights():
        parts = random_stable_audio(STABLE_AUDIOS[name.rpartition("/")[2]])
    torch.nn.Module.to(FORMAT.worker_of(parts), find_dtype(dtype))
    return StableAudio(name, parts, WEIGHTLESS, options, batch_size)
