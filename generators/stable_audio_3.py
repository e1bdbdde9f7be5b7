"""Stable Audio 3 in the format of diffusers.

The sampling loop is our own, over the model classes and the scheduler of diffusers, because the pipeline draws the
new noise of each step for a whole batch from torch's generators; see `generators.flow_matching` and
`generators.stable_audio_3_denoiser`. The published distilled models renoise at each of 8 steps (ping-pong) and need
no guidance; the base models take 100 plain steps. Which of both it is stands in the scheduler's configuration.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.diffusers_folder import (
    PipelineFormat,
    check_channels,
    check_fit,
    freeze,
    load_model,
    load_scheduler,
    load_tokenizer,
)
from generators.diffusion_generator import DiffusionGenerator
from generators.diffusion_sampling import DiffusionOptions, GaussianNoise
from generators.flow_matching import integrate, log_snr_levels
from generators.stable_audio_3_conditioning import StableAudio3Conditioner
from generators.stable_audio_3_denoiser import StableAudio3Denoiser
from music.prompts import Prompt

# Part of every spec: raise it with any change of our own code that changes the audio of a seed.
SAMPLER = 1
FORMAT = PipelineFormat(
    "StableAudio3Pipeline",
    "Stable Audio 3",
    {
        "vae": "AutoencoderSAME",
        "text_encoder": "T5GemmaEncoderModel",
        "duration_embedder": "StableAudio3DurationEmbedder",
        "transformer": "StableAudio3DiTModel",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
    },
)
_LOG_SNR = (-6.2, 2.0)  # of the first step and beyond the last: the defaults of the pipeline


@dataclass(frozen=True, eq=False)
class StableAudio3Parts:
    """The parts of a Stable Audio 3 pipeline, as diffusers and transformers load them."""

    vae: Any
    text_encoder: Any
    duration_embedder: Any
    transformer: Any
    scheduler: Any
    tokenizer: Any


class StableAudio3(DiffusionGenerator):
    """A Stable Audio 3 model; see `generators.diffusion_generator.DiffusionGenerator`.

    Its tokens are the latents of the clip, as many frames as the clip needs.

    Parameters
    ----------
    name
        As it was asked for.
    parts
        Of the pipeline.
    weights
        SHA-256 of weights, configurations and tokenizer.
    options
        How noise becomes music.
    batch_size
        Clips denoised at once; fixed, a shorter batch is padded.

    Raises
    ------
    InputError
        If the batch size is below 1, or the negative prompt too long.
    """

    def __init__(
        self, name: str, parts: StableAudio3Parts, weights: str, options: DiffusionOptions, batch_size: int
    ) -> None:
        device = parts.transformer.device
        dtype = next(parts.transformer.transformer_blocks.parameters()).dtype
        super().__init__(name, weights, options, batch_size, SAMPLER, device, dtype)
        self.sample_rate: int = parts.vae.config.sampling_rate
        self.channels: int = parts.vae.config.audio_channels
        self.max_seconds = float(parts.duration_embedder.config.max_val)
        self._vae, self._transformer, self._scheduler = parts.vae, parts.transformer, parts.scheduler
        self._conditioner = StableAudio3Conditioner(
            parts.tokenizer,
            parts.text_encoder,
            parts.duration_embedder,
            parts.transformer.prompt_padding_embedding,
        )
        self._conditioner.check(options.negative_prompt, "the negative prompt")

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt.text, f"prompt {prompt.id!r}: its text")

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        return (self._vae.config.latent_dim, math.ceil(samples / self._vae.downsampling_ratio))

    def _denoise(self, prompts: Sequence[Prompt], seconds: float, noise: GaussianNoise) -> torch.Tensor:
        options, duration = self.options, self._conditioner.duration(seconds)
        texts = [prompt.text for prompt in prompts]
        if options.guidance > 1:
            texts = [*[options.negative_prompt] * len(prompts), *texts]
        context = self._conditioner.context(texts, duration)
        frames = noise.shape[-1]
        denoiser = StableAudio3Denoiser(self._transformer, context, duration, options.guidance, frames)
        return integrate(denoiser.predict, self._scheduler, log_snr_levels(options.steps, *_LOG_SNR), noise)

    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        return self._vae.decode(latents[None]).sample[0, :, :samples]


def load_stable_audio_3(
    name: str,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    options: Mapping[str, Any],
    batch_size: int,
) -> StableAudio3:
    """Load a Stable Audio 3 model; see `generators.diffusers_backend.load_diffusers`.

    The defaults are those of diffusers' pipeline: no guidance, and 8 steps if they renoise, else 100.
    """
    DiffusionOptions(**{"guidance": 1.0, **options})  # refused before gigabytes are loaded
    parts = _load_parts(folder, device, dtype)
    steps = 8 if parts.scheduler.config.stochastic_sampling else 100
    defaults: dict[str, Any] = {"steps": steps, "guidance": 1.0}
    sampling = DiffusionOptions(**{**defaults, **options})
    return StableAudio3(name, parts, FORMAT.hash(folder), sampling, batch_size)


def _load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> StableAudio3Parts:
    """Load a pipeline, the blocks of the transformer in `dtype` and all else in float32."""
    with FORMAT.loading(folder):
        from diffusers import AutoencoderSAME, FlowMatchEulerDiscreteScheduler, StableAudio3DiTModel
        from diffusers.pipelines.stable_audio_3.modeling_stable_audio_3 import StableAudio3DurationEmbedder
        from transformers import T5GemmaEncoderModel

        parts = StableAudio3Parts(
            vae=load_model(AutoencoderSAME, folder, "vae"),
            text_encoder=load_model(T5GemmaEncoderModel, folder, "text_encoder"),
            duration_embedder=load_model(StableAudio3DurationEmbedder, folder, "duration_embedder"),
            transformer=load_model(StableAudio3DiTModel, folder, "transformer"),
            scheduler=load_scheduler(FlowMatchEulerDiscreteScheduler, folder),
            tokenizer=load_tokenizer(folder),
        )
    transformer, vae = parts.transformer.config, parts.vae.config
    check_fit(
        folder,
        (
            ("io_channels of the transformer", transformer.io_channels, vae.latent_dim),
            (
                "global_cond_dim of the transformer",
                transformer.global_cond_dim,
                parts.duration_embedder.config.output_dim,
            ),
            (
                "cond_token_dim of the transformer",
                transformer.cond_token_dim,
                parts.duration_embedder.config.output_dim,
            ),
            ("patch_size of the transformer", transformer.patch_size, 1),
        ),
    )
    check_channels(folder, vae.audio_channels)
    freeze((parts.vae, parts.text_encoder, parts.duration_embedder, parts.transformer), device)
    parts.transformer.transformer_blocks.to(dtype)
    return parts
