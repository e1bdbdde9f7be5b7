"""Stable Audio Open (Evans et al. 2024) in the format of diffusers.

The denoising loop is our own, over the model classes and the scheduler of diffusers: the pipeline draws from
torch's generators, which look at 32 bits of a seed on a CPU, encodes every text anew, cuts long ones, rounds
lengths down, and decodes the model's full length. See `generators.stable_audio.diffusers.denoiser`,
`generators.stable_audio.diffusers.conditioning`, `generators.diffusion.sampling` and
`generators.diffusion.latent_decoder` for its parts.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from generators.diffusion.generator import DiffusionGenerator
from generators.diffusion.latent_decoder import LatentDecoder
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise
from generators.stable_audio.diffusers.conditioning import StableAudioConditioner
from generators.stable_audio.diffusers.denoiser import Denoiser
from generators.stable_audio.diffusers.loading import FORMAT, StableAudioParts, load_parts
from music.prompts import Prompt

# Part of every spec: raise it with any change of our own code that changes the audio of a seed.
SAMPLER = 1


class StableAudio(DiffusionGenerator):
    """A Stable Audio model; see `generators.diffusion.generator.DiffusionGenerator`.

    Its tokens are the latents of the model's full length, of which a clip is the beginning: what the transformer was
    trained on.

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
    folder
        Where it was loaded from.

    Raises
    ------
    InputError
        If the batch size is below 1, or the negative prompt too long.
    """

    def __init__(
        self,
        name: str,
        parts: StableAudioParts,
        weights: str,
        options: DiffusionOptions,
        batch_size: int,
        folder: Path | None = None,
    ) -> None:
        self.folder = folder
        device = parts.transformer.device
        dtype = next(parts.transformer.transformer_blocks.parameters()).dtype
        super().__init__(name, weights, options, batch_size, SAMPLER, device, dtype)
        self.sample_rate: int = parts.vae.config.sampling_rate
        self.channels: int = parts.vae.config.audio_channels
        self._transformer, self._scheduler = parts.transformer, parts.scheduler
        self._conditioner = StableAudioConditioner(
            parts.tokenizer, parts.text_encoder, parts.projection_model
        )
        self._conditioner.check(options.negative_prompt, "the negative prompt")
        self._decoder = LatentDecoder(parts.vae)
        self._shape = (parts.transformer.config.in_channels, parts.transformer.config.sample_size)
        self.max_seconds = min(
            self._decoder.samples_of(self._shape[1]) / self.sample_rate,
            float(parts.projection_model.config.max_value),
        )

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt.text, f"prompt {prompt.id!r}: its text")

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        return self._shape

    def _denoise(self, prompts: Sequence[Prompt], seconds: float, noise: GaussianNoise) -> torch.Tensor:
        options = self.options
        conditions = self._conditioner.batch(
            [prompt.text for prompt in prompts], seconds, options.negative_prompt, guided=options.guidance > 1
        )
        denoiser = Denoiser(self._transformer, conditions, options.guidance, self._shape[1])
        return denoise(denoiser, self._scheduler, noise, options.steps)

    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        return self._decoder.decode(latents, samples)


@torch.inference_mode()
def denoise(denoiser: Denoiser, scheduler: Any, noise: GaussianNoise, steps: int) -> torch.Tensor:
    """Turn noise into latents.

    Parameters
    ----------
    denoiser
        For a batch of B clips.
    scheduler
        A `CosineDPMSolverMultistepScheduler`; what it was doing before is forgotten.
    noise
        For each clip that of the beginning, then that of each step.
    steps
        How many.

    Returns
    -------
    torch.Tensor
        `[B, channels, frames]`, float32.
    """
    latents = noise.draw() * scheduler.init_noise_sigma
    scheduler.set_timesteps(steps, device=latents.device)
    scheduler.set_begin_index(0)
    scheduler.noise_sampler = lambda *_: noise.draw()  # instead of a Brownian tree of the scheduler's own
    for time in scheduler.timesteps:
        prediction = denoiser.predict(scheduler.scale_model_input(latents, time), time)
        latents = scheduler.step(prediction, time, latents).prev_sample
    return latents


def load_stable_audio(
    name: str,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    options: Mapping[str, Any],
    batch_size: int,
) -> StableAudio:
    """Load a Stable Audio model; see `generators.diffusion.backend.load_diffusers`.

    The defaults are those of diffusers' pipeline: 100 steps and a guidance of 7.
    """
    parts = load_parts(folder, device, dtype)
    defaults: dict[str, Any] = {"steps": 100, "guidance": 7.0}
    sampling = DiffusionOptions(**{**defaults, **options})
    return StableAudio(name, parts, FORMAT.hash(folder), sampling, batch_size, folder)
