"""Stable Audio Open (Evans et al. 2024) in the format of diffusers.

The denoising loop is our own, over the model classes and the scheduler of diffusers: the pipeline draws from
torch's generators, which look at 32 bits of a seed on a CPU, encodes every text anew, cuts long ones, rounds
lengths down, and decodes the model's full length.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

from collections.abc import Sequence
from typing import Any

import torch

from generators.diffusion.generator import PipelineGenerator
from generators.diffusion.latent_decoder import LatentDecoder
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise, State
from generators.stable_audio.diffusers.conditioning import StableAudioConditioner
from generators.stable_audio.diffusers.denoiser import Denoiser
from generators.stable_audio.diffusers.loading import FORMAT
from music.prompts import Prompt


class StableAudio(PipelineGenerator):
    """A Stable Audio model; see `generators.diffusion.generator.PipelineGenerator`.

    Its tokens are the latents of the model's full length, of which a clip is the beginning: what the transformer was
    trained on.
    """

    sampler = 1
    FORMAT = FORMAT
    DEFAULTS = DiffusionOptions(steps=100, guidance=7.0)

    def _prepare(self, parts: Any) -> None:
        self.sample_rate = parts.vae.config.sampling_rate
        self.channels = parts.vae.config.audio_channels
        self._conditioner = StableAudioConditioner(
            parts.tokenizer, parts.text_encoder, parts.projection_model
        )
        self._decoder = LatentDecoder(parts.vae)
        self._shape = (parts.transformer.config.in_channels, parts.transformer.config.sample_size)
        self.max_seconds = min(
            self._decoder.samples_of(self._shape[1]) / self.sample_rate,
            float(parts.projection_model.config.max_value),
        )

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        return self._shape

    def _begun(self, noise: torch.Tensor) -> torch.Tensor:
        return noise * self._parts.scheduler.init_noise_sigma

    def _scales(self, step: int) -> tuple[float, float]:
        scheduler = self._parts.scheduler
        scheduler.set_timesteps(self.options.steps, device=self._device)
        return 1.0, float(scheduler.sigmas[step])

    def _denoise(
        self, prompts: Sequence[Prompt], seconds: float, state: State, noise: GaussianNoise, span: range
    ) -> None:
        options = self.options
        conditions = self._conditioner.batch(
            [prompt.text for prompt in prompts], seconds, options.negative_prompt, guided=options.guidance > 1
        )
        denoiser = Denoiser(
            self._parts.transformer, conditions, options.guidance, self._shape[1], state["gap"]
        )
        denoise(denoiser, self._parts.scheduler, state, noise, options.steps, span)


def denoise(
    denoiser: Denoiser, scheduler: Any, state: State, noise: GaussianNoise, steps: int, span: range
) -> None:
    """Do some of the steps from noise to latents.

    Parameters
    ----------
    denoiser
        Predictions for a batch of B clips.
    scheduler
        A `CosineDPMSolverMultistepScheduler` of order 1 or 2; what it was doing before is forgotten.
    state
        State of the batch, which is changed.
    noise
        Noise of each clip, for each step.
    steps
        Number of steps.
    span
        Which of them to do.
    """
    latents = state["latents"]
    scheduler.set_timesteps(steps, device=latents.device)
    scheduler.set_begin_index(span.start)
    scheduler.noise_sampler = lambda *_: noise.draw()  # instead of a Brownian tree of the scheduler's own
    if span.start:  # a solver of second order remembers the prediction before
        scheduler.model_outputs[-1] = state["clean"]
        scheduler.lower_order_nums = 1
    for time in scheduler.timesteps[span.start : span.stop]:
        prediction = denoiser.predict(scheduler.scale_model_input(latents, time), time)
        latents = scheduler.step(prediction, time, latents).prev_sample
    state |= {"latents": latents, "clean": scheduler.model_outputs[-1]}
