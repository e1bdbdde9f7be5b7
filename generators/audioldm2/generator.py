"""AudioLDM 2 (Liu et al. 2023) in the format of diffusers: spectrograms by diffusion, made audible by a vocoder.

The sampling loop is our own, over the model classes and the scheduler of diffusers: the pipeline lets the length of a
batch's longest text decide, and returns several candidates in an order of its own. See
`generators.audioldm2.conditioning`.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import torch

from generators.audioldm2.conditioning import LENGTH_MULTIPLE, AudioLDM2Conditioner
from generators.diffusion.generator import PipelineGenerator
from generators.diffusion.pipeline_folder import PipelineFormat, check_longest_text
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise, State, widen_gap
from generators.shared.model_loading import check_fit
from music.errors import InputError
from music.prompts import Prompt


def _check(folder: Path, parts: Any) -> None:
    projection, unet, latent = (
        parts.projection_model.config,
        parts.unet.config,
        parts.vae.config.latent_channels,
    )
    clap_width, text_width = parts.text_encoder.config.projection_dim, parts.text_encoder_2.config.d_model
    width = parts.language_model.config.n_embd
    check_fit(
        folder,
        (
            ("in_channels of the U-Net", unet.in_channels, latent),
            ("out_channels of the U-Net", unet.out_channels, latent),
            ("text_encoder_dim of the projection", projection.text_encoder_dim, clap_width),
            ("text_encoder_1_dim of the projection", projection.text_encoder_1_dim, text_width),
            ("langauge_model_dim of the projection", projection.langauge_model_dim, width),
        ),
    )
    check_longest_text(folder, parts.tokenizer)
    check_longest_text(folder, parts.tokenizer_2, "tokenizer_2")


class AudioLDM2(PipelineGenerator):
    """An AudioLDM 2 model; see `generators.diffusion.generator.PipelineGenerator`.

    Its tokens are the latents of the clip's spectrogram, `[channels, frames, bands]`, as many frames as the clip
    needs.
    """

    sampler = 1
    channels = 1
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
        worker="unet",
        check=_check,
        tokenizers=("tokenizer", "tokenizer_2"),
    )
    DEFAULTS = DiffusionOptions(steps=200, guidance=3.5)

    def _prepare(self, parts: Any) -> None:
        self.spec = {**self.spec, "length_multiple": LENGTH_MULTIPLE}
        noise_levels, steps = parts.scheduler.config.num_train_timesteps, self.options.steps
        if steps >= noise_levels:
            raise InputError(f"steps must be below {noise_levels} for {self.name}, got {steps}")
        self.sample_rate = parts.vocoder.config.sampling_rate
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

    def _kind(self, prompt: Prompt, seconds: float) -> Hashable:
        return self._conditioner.padded_length(prompt.text, self.options.negative_prompt)

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        frames = math.ceil(samples / (self._hop * self._scale))
        return (
            self._parts.unet.config.in_channels,
            frames,
            self._parts.vocoder.config.model_in_dim // self._scale,
        )

    def _begun(self, noise: torch.Tensor) -> torch.Tensor:
        return noise * self._parts.scheduler.init_noise_sigma

    def _scales(self, step: int) -> tuple[float, float]:
        scheduler = self._parts.scheduler
        scheduler.set_timesteps(self.options.steps, device=self._device)
        kept = scheduler.final_alpha_cumprod
        if step < len(scheduler.timesteps):
            kept = scheduler.alphas_cumprod[int(scheduler.timesteps[step])]
        return float(kept) ** 0.5, (1 - float(kept)) ** 0.5

    def _denoise(
        self, prompts: Sequence[Prompt], seconds: float, state: State, noise: GaussianNoise, span: range
    ) -> None:
        unet, scheduler, guidance = self._parts.unet, self._parts.scheduler, self.options.guidance
        conditions = self._conditioner.batch(
            [prompt.text for prompt in prompts], self.options.negative_prompt, guided=guidance > 1
        )
        generated, states = conditions.generated.to(unet.dtype), conditions.states.to(unet.dtype)
        latents = state["latents"]
        scheduler.set_timesteps(self.options.steps, device=latents.device)
        for time in scheduler.timesteps[span.start : span.stop]:
            scaled = scheduler.scale_model_input(latents, time)
            if guidance > 1:
                scaled = torch.cat([scaled, scaled])
            found = unet(
                scaled.to(unet.dtype),
                time,
                encoder_hidden_states=generated,
                encoder_hidden_states_1=states,
                encoder_attention_mask_1=conditions.mask,
            ).sample.float()
            if guidance > 1:
                away, towards = found.chunk(2)
                widen_gap(state["gap"], towards, away)
                found = away + guidance * (towards - away)
            done = scheduler.step(found, time, latents, eta=0.0)
            latents, state["clean"] = done.prev_sample, done.pred_original_sample
        state["latents"] = latents

    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        spectrogram = self._parts.vae.decode(latents[None] / self._parts.vae.config.scaling_factor).sample
        return self._parts.vocoder(spectrogram[:, 0])[:, :samples]
