"""Load a Stable Audio folder in the format of diffusers, and refuse early what could not generate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.diffusion.pipeline_folder import (
    PipelineFormat,
    check_channels,
    check_fit,
    check_longest_text,
    freeze,
    load_model,
    load_scheduler,
    load_tokenizer,
)

FORMAT = PipelineFormat(
    "StableAudioPipeline",
    "Stable Audio",
    {
        "vae": "AutoencoderOobleck",
        "text_encoder": "T5EncoderModel",
        "projection_model": "StableAudioProjectionModel",
        "transformer": "StableAudioDiTModel",
        "scheduler": "CosineDPMSolverMultistepScheduler",
    },
)


@dataclass(frozen=True, eq=False)
class StableAudioParts:
    """The parts of a Stable Audio pipeline, as diffusers and transformers load them."""

    vae: Any
    text_encoder: Any
    projection_model: Any
    transformer: Any
    scheduler: Any
    tokenizer: Any


def load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> StableAudioParts:
    """Load a pipeline.

    Parameters
    ----------
    folder
        As `StableAudioPipeline.save_pretrained` writes it.
    device
        Where to.
    dtype
        Of the blocks of the transformer, which do nearly all the work; all else stays in float32.

    Raises
    ------
    InputError
        If the folder does not hold a whole Stable Audio.
    """
    with FORMAT.loading(folder):
        from diffusers import AutoencoderOobleck, CosineDPMSolverMultistepScheduler, StableAudioDiTModel
        from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
        from transformers import T5EncoderModel

        parts = StableAudioParts(
            vae=load_model(AutoencoderOobleck, folder, "vae"),
            text_encoder=load_model(T5EncoderModel, folder, "text_encoder"),
            projection_model=load_model(StableAudioProjectionModel, folder, "projection_model"),
            transformer=load_model(StableAudioDiTModel, folder, "transformer"),
            scheduler=load_scheduler(CosineDPMSolverMultistepScheduler, folder),
            tokenizer=load_tokenizer(folder),
        )
    _check_parts(folder, parts)
    freeze((parts.vae, parts.text_encoder, parts.projection_model, parts.transformer), device)
    parts.transformer.transformer_blocks.to(dtype)
    return parts


def _check_parts(folder: Path, parts: StableAudioParts) -> None:
    """Refuse parts that do not fit together."""
    latent, width = parts.vae.config.decoder_input_channels, parts.projection_model.config.conditioning_dim
    transformer = parts.transformer.config
    check_fit(
        folder,
        (
            ("in_channels of the transformer", transformer.in_channels, latent),
            ("out_channels of the transformer", transformer.out_channels, latent),
            ("cross_attention_input_dim of the transformer", transformer.cross_attention_input_dim, width),
            ("global_states_input_dim of the transformer", transformer.global_states_input_dim, 2 * width),
            (
                "text_encoder_dim of the projection",
                parts.projection_model.config.text_encoder_dim,
                parts.text_encoder.config.d_model,
            ),
        ),
    )
    check_channels(folder, parts.vae.config.audio_channels)
    check_longest_text(folder, parts.tokenizer)
