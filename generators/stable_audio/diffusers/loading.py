"""Load a Stable Audio folder in the format of diffusers, and refuse early what could not generate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.diffusion.pipeline_folder import PipelineFormat, check_channels, check_longest_text
from generators.shared.model_loading import check_fit


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
    """Load a pipeline; see `generators.diffusion.pipeline_folder.PipelineFormat.load`."""
    return StableAudioParts(**vars(FORMAT.load(folder, device, dtype)))


def _check(folder: Path, parts: Any) -> None:
    latent, width = parts.vae.config.decoder_input_channels, parts.projection_model.config.conditioning_dim
    transformer, projection = parts.transformer.config, parts.projection_model.config
    check_fit(
        folder,
        (
            ("in_channels of the transformer", transformer.in_channels, latent),
            ("out_channels of the transformer", transformer.out_channels, latent),
            ("cross_attention_input_dim of the transformer", transformer.cross_attention_input_dim, width),
            ("global_states_input_dim of the transformer", transformer.global_states_input_dim, 2 * width),
            (
                "text_encoder_dim of the projection",
                projection.text_encoder_dim,
                parts.text_encoder.config.d_model,
            ),
        ),
    )
    check_channels(folder, parts.vae.config.audio_channels)
    check_longest_text(folder, parts.tokenizer)


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
    worker="transformer.transformer_blocks",
    check=_check,
)
