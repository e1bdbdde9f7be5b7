"""A tiny Stable Audio folder with random weights, in the format of diffusers' `StableAudioPipeline`."""

from collections.abc import Sequence
from pathlib import Path
from string import printable, whitespace
from typing import Any


def build_tiny_stable_audio(
    folder: Path,
    channels: int = 2,
    ratios: Sequence[int] = (4, 4, 8),
    sample_rate: int = 8_000,
    frames: int = 64,
    latent: int = 8,
    text_width: int = 24,
    width: int = 32,
    heads: tuple[int, int] = (4, 2),
    loudness: float = 0.2,
) -> Path:
    """Write the folder and return it.

    Parameters
    ----------
    folder
        Folder to write.
    channels, sample_rate
        Format of the audio.
    ratios
        Strides of the autoencoder, first that next to the audio.
    frames, latent
        Length and channels of the latents, of which every clip is the beginning.
    text_width, width
        Width of the text encoder, and of the conditions.
    heads
        Heads of self-attention, and of keys and values in cross-attention.
    loudness
        About the standard deviation of the audio.
    """
    import torch

    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    from diffusers import (
        CosineDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioPipeline,
        StableAudioProjectionModel,
    )
    from transformers import T5EncoderModel

    tokenizer = t5_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = tiny_oobleck(latent, ratios, channels, sample_rate)
        transformer = StableAudioDiTModel(
            sample_size=frames,
            in_channels=latent,
            out_channels=latent,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=heads[0],
            num_key_value_attention_heads=heads[1],
            cross_attention_dim=16 * heads[1],
            time_proj_dim=16,
            global_states_input_dim=2 * width,
            cross_attention_input_dim=width,
        )
        projection = StableAudioProjectionModel(
            text_encoder_dim=text_width, conditioning_dim=width, min_value=0, max_value=512
        )
        pipeline = StableAudioPipeline(
            vae=vae.eval(),
            text_encoder=T5EncoderModel(t5_config(len(tokenizer), text_width)).eval(),
            projection_model=projection,
            tokenizer=tokenizer,
            transformer=transformer.eval(),
            scheduler=CosineDPMSolverMultistepScheduler(),
        )
        with torch.no_grad():
            # random layers are timid: with larger ones, text, seconds and guidance change what is made
            for block in transformer.transformer_blocks:
                block.attn2.to_out[0].weight.mul_(4)
            for module in (transformer.cross_attention_proj, transformer.global_proj):
                module[0].weight.mul_(3)
            audio = vae.decode(torch.randn(1, latent, frames)).sample
            vae.decoder.conv2.weight_g.mul_(loudness / audio.std())
    pipeline.save_pretrained(folder)
    return folder


def tiny_oobleck(latent: int, ratios: Sequence[int], channels: int, sample_rate: int) -> Any:
    """Return an `AutoencoderOobleck` with random weights."""
    from diffusers import AutoencoderOobleck

    return AutoencoderOobleck(
        encoder_hidden_size=2 * latent,
        downsampling_ratios=list(ratios),
        channel_multiples=[1, 2, 4][: len(ratios)],
        decoder_channels=4,
        decoder_input_channels=latent,
        audio_channels=channels,
        sampling_rate=sample_rate,
    )


def t5_config(vocabulary: int, width: int, **options: Any) -> Any:
    """Return the configuration of a small T5."""
    from transformers import T5Config

    sizes = {"d_kv": 8, "d_ff": 2 * width, "num_layers": 2, "num_heads": 4}
    return T5Config(vocab_size=vocabulary, d_model=width, **sizes, **options)


def t5_tokenizer(longest: int = 128) -> Any:
    """Return a tokenizer of T5's own class that knows no words, only characters."""
    from transformers import T5Tokenizer

    letters = sorted(set(printable) - set(whitespace))
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\N{LOWER ONE EIGHTH BLOCK}", -2.0)]
    return T5Tokenizer(
        vocab=[*pieces, *((letter, -3.0) for letter in letters)], extra_ids=0, model_max_length=longest
    )
