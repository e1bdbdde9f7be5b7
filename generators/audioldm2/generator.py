"""AudioLDM 2 (Liu et al. 2023) in the format of diffusers: spectrograms by diffusion, made audible by a vocoder.

The sampling loop is our own, over the model classes and the scheduler of diffusers: the pipeline lets the length of a
batch's longest text decide, and of several candidates returns them in an order of its own. See
`generators.audioldm2.conditioning`.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.audioldm2.conditioning import LENGTH_MULTIPLE, AudioLDM2Conditioner
from generators.diffusion.generator import DiffusionGenerator
from generators.diffusion.pipeline_folder import (
    PipelineFormat,
    check_fit,
    check_longest_text,
    freeze,
    load_model,
    load_scheduler,
    load_tokenizer,
)
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise
from music.errors import InputError
from music.prompts import Prompt

# Part of every spec: raise it with any change of our own code that changes the audio of a seed.
SAMPLER = 1
FORMAT = PipelineFormat(
    "AudioLDM2Pipeline",
    "AudioLDM 2",
    {
        "vae": "AutoencoderKL",
        "text_encoder": "ClapModel",
        "text_encoder_2": "T5EncoderModel",
        "projection_model": "AudioLDM2ProjectionModel",
        "language_model": "GPT2Model|GPT2LMHeadModel",
        "unet": "AudioLDM2UNet2DConditionModel",
        "scheduler": "DDIMScheduler",
        "vocoder": "SpeechT5HifiGan",
    },
    ("tokenizer", "tokenizer_2"),
)


@dataclass(frozen=True, eq=False)
class AudioLDM2Parts:
    """The parts of an AudioLDM 2 pipeline, as diffusers and transformers load them."""

    vae: Any
    text_encoder: Any
    text_encoder_2: Any
    projection_model: Any
    language_model: Any
    unet: Any
    scheduler: Any
    vocoder: Any
    tokenizer: Any
    tokenizer_2: Any


class AudioLDM2(DiffusionGenerator):
    """An AudioLDM 2 model; see `generators.diffusion.generator.DiffusionGenerator`.

    Its tokens are the latents of the clip's spectrogram, `[channels, frames, bands]`, as many frames as the clip
    needs.

    Parameters
    ----------
    name
        As it was asked for.
    parts
        Of the pipeline.
    weights
        SHA-256 of weights, configurations and tokenizers.
    options
        How noise becomes music.
    batch_size
        Clips denoised at once; fixed, a shorter batch is padded.

    Raises
    ------
    InputError
        If the batch size is below 1, or the negative prompt too long.
    """

    channels = 1

    def __init__(
        self, name: str, parts: AudioLDM2Parts, weights: str, options: DiffusionOptions, batch_size: int
    ) -> None:
        super().__init__(name, weights, options, batch_size, SAMPLER, parts.unet.device, parts.unet.dtype)
        self.spec = {**self.spec, "length_multiple": LENGTH_MULTIPLE}
        self._vae, self._vocoder = parts.vae, parts.vocoder
        self._unet, self._scheduler = parts.unet, parts.scheduler
        noise_levels = parts.scheduler.config.num_train_timesteps
        if options.steps >= noise_levels:
            raise InputError(f"--steps must be below {noise_levels} for {name}, got {options.steps}")
        self.sample_rate: int = parts.vocoder.config.sampling_rate
        self._hop = math.prod(parts.vocoder.config.upsample_rates)
        self._scale = 2 ** (len(parts.vae.config.block_out_channels) - 1)
        # that of the clips it was trained on
        self.max_seconds = parts.unet.config.sample_size * self._scale * self._hop / self.sample_rate
        self._conditioner = AudioLDM2Conditioner(
            (parts.tokenizer, parts.tokenizer_2),
            parts.text_encoder,
            parts.text_encoder_2,
            parts.projection_model,
            parts.language_model,
        )
        self._conditioner.check(options.negative_prompt, "the negative prompt")

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt.text, f"prompt {prompt.id!r}: its text")

    def _kind(self, prompt: Prompt, seconds: float) -> Hashable:
        return self._conditioner.padded_length(prompt.text, self.options.negative_prompt)

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        frames = math.ceil(samples / (self._hop * self._scale))
        return (self._unet.config.in_channels, frames, self._vocoder.config.model_in_dim // self._scale)

    def _denoise(self, prompts: Sequence[Prompt], seconds: float, noise: GaussianNoise) -> torch.Tensor:
        guidance, scheduler, dtype = self.options.guidance, self._scheduler, self._unet.dtype
        conditions = self._conditioner.batch(
            [prompt.text for prompt in prompts], self.options.negative_prompt, guided=guidance > 1
        )
        generated, states = conditions.generated.to(dtype), conditions.states.to(dtype)
        latents = noise.draw() * scheduler.init_noise_sigma
        scheduler.set_timesteps(self.options.steps, device=latents.device)
        for time in scheduler.timesteps:
            scaled = scheduler.scale_model_input(latents, time)
            if guidance > 1:
                scaled = torch.cat([scaled, scaled])
            found = self._unet(
                scaled.to(dtype),
                time,
                encoder_hidden_states=generated,
                encoder_hidden_states_1=states,
                encoder_attention_mask_1=conditions.mask,
            ).sample.float()
            if guidance > 1:
                away, towards = found.chunk(2)
                found = away + guidance * (towards - away)
            latents = scheduler.step(found, time, latents, eta=0.0).prev_sample
        return latents

    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        spectrogram = self._vae.decode(latents[None] / self._vae.config.scaling_factor).sample
        return self._vocoder(spectrogram[:, 0])[:, :samples]


def load_audioldm2(
    name: str,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    options: Mapping[str, Any],
    batch_size: int,
) -> AudioLDM2:
    """Load an AudioLDM 2 model; see `generators.diffusion.backend.load_diffusers`.

    The defaults are those of diffusers' pipeline: 200 steps and a guidance of 3.5.
    """
    parts = _load_parts(folder, device, dtype)
    defaults: dict[str, Any] = {"steps": 200, "guidance": 3.5}
    sampling = DiffusionOptions(**{**defaults, **options})
    return AudioLDM2(name, parts, FORMAT.hash(folder), sampling, batch_size)


def _load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> AudioLDM2Parts:
    """Load a pipeline, the U-Net in `dtype` and all else in float32."""
    with FORMAT.loading(folder):
        from diffusers import AutoencoderKL, DDIMScheduler
        from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
            AudioLDM2ProjectionModel,
            AudioLDM2UNet2DConditionModel,
        )
        from transformers import ClapModel, GPT2Model, SpeechT5HifiGan, T5EncoderModel

        parts = AudioLDM2Parts(
            vae=load_model(AutoencoderKL, folder, "vae"),
            text_encoder=load_model(ClapModel, folder, "text_encoder"),
            text_encoder_2=load_model(T5EncoderModel, folder, "text_encoder_2"),
            projection_model=load_model(AudioLDM2ProjectionModel, folder, "projection_model"),
            language_model=load_model(GPT2Model, folder, "language_model"),
            unet=load_model(AudioLDM2UNet2DConditionModel, folder, "unet"),
            scheduler=load_scheduler(DDIMScheduler, folder),
            vocoder=load_model(SpeechT5HifiGan, folder, "vocoder"),
            tokenizer=load_tokenizer(folder),
            tokenizer_2=load_tokenizer(folder, "tokenizer_2"),
        )
    projection, unet = parts.projection_model.config, parts.unet.config
    check_fit(
        folder,
        (
            ("in_channels of the U-Net", unet.in_channels, parts.vae.config.latent_channels),
            ("out_channels of the U-Net", unet.out_channels, parts.vae.config.latent_channels),
            (
                "text_encoder_dim of the projection",
                projection.text_encoder_dim,
                parts.text_encoder.config.projection_dim,
            ),
            (
                "text_encoder_1_dim of the projection",
                projection.text_encoder_1_dim,
                parts.text_encoder_2.config.d_model,
            ),
            (
                "langauge_model_dim of the projection",
                projection.langauge_model_dim,
                parts.language_model.config.n_embd,
            ),
        ),
    )
    check_longest_text(folder, parts.tokenizer)
    check_longest_text(folder, parts.tokenizer_2, "tokenizer_2")
    freeze(
        (
            parts.vae,
            parts.text_encoder,
            parts.text_encoder_2,
            parts.projection_model,
            parts.language_model,
            parts.unet,
            parts.vocoder,
        ),
        device,
    )
    parts.unet.to(dtype)
    return parts
