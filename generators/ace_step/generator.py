"""ACE-Step 1.5 in the format of diffusers: music from text, lyrics and the sound of a reference.

The sampling loop is our own, over the model classes and the scheduler of diffusers; see
`generators.diffusion.flow_matching`. What the pipeline does after decoding, scaling every clip to a peak of -1 dBFS,
is left out: a clip is as the decoder makes it.

Lyrics are taken to be English, as by the pipeline; they may have marks like ``[verse]``. The reference gives the
timbre, not the melody.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from generators.ace_step.conditioning import LENGTH_MULTIPLE, AceStepConditioner
from generators.ace_step.denoiser import AceStepDenoiser
from generators.diffusion.flow_matching import integrate, sigmas_of
from generators.diffusion.generator import PipelineGenerator
from generators.diffusion.latent_decoder import LatentDecoder
from generators.diffusion.pipeline_folder import PipelineFormat, check_channels
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise, State
from generators.shared.model_loading import check_fit
from music.errors import InputError
from music.files import read_object
from music.prompts import Prompt

_SHIFT = 3.0  # of the noise levels towards noise: the default of the pipeline


def _check(folder: Path, parts: Any) -> None:
    conditions, transformer = parts.condition_encoder.config, parts.transformer.config
    latent, width = parts.vae.config.decoder_input_channels, transformer.encoder_hidden_size
    text_width = parts.text_encoder.config.hidden_size
    check_fit(
        folder,
        (
            ("audio_acoustic_hidden_dim of the transformer", transformer.audio_acoustic_hidden_dim, latent),
            ("in_channels of the transformer", transformer.in_channels, 3 * latent),
            ("timbre_hidden_dim of the condition encoder", conditions.timbre_hidden_dim, latent),
            ("text_hidden_dim of the condition encoder", conditions.text_hidden_dim, text_width),
            (
                "hidden_size of the condition encoder",
                conditions.hidden_size,
                transformer.hidden_size if width is None else width,
            ),
        ),
    )
    check_channels(folder, parts.vae.config.audio_channels)


class AceStep(PipelineGenerator):
    """An ACE-Step 1.5 model; see `generators.diffusion.generator.PipelineGenerator`.

    Its tokens are the latents of the clip, as many frames as the clip needs.
    """

    sampler = 1
    accepts = frozenset({"text", "lyrics"})
    FORMAT = PipelineFormat(
        "AceStepPipeline",
        "ACE-Step",
        {
            "vae": "AutoencoderOobleck",
            "text_encoder": "Qwen3Model",
            "condition_encoder": "AceStepConditionEncoder",
            "transformer": "AceStepTransformer1DModel",
            "scheduler": "FlowMatchEulerDiscreteScheduler",
        },
        worker="transformer.layers",
        check=_check,
    )

    def _prepare(self, parts: Any) -> None:
        self.spec = {**self.spec, "length_multiple": LENGTH_MULTIPLE}
        self._accept_references()
        self.sample_rate = parts.vae.config.sampling_rate
        self.channels = parts.vae.config.audio_channels
        self._conditioner = AceStepConditioner(
            parts.tokenizer, parts.text_encoder, parts.vae, parts.condition_encoder
        )
        self._decoder = LatentDecoder(parts.vae)
        self._hop = math.prod(parts.vae.config.downsampling_ratios)
        # of the silence that comes with the model: ten minutes
        self.max_seconds = parts.condition_encoder.silence_latent.shape[1] * self._hop / self.sample_rate

    @classmethod
    def sampling_of(cls, name: str, folder: Path, given: Mapping[str, Any]) -> DiffusionOptions:
        """Return how a model samples: in 8 steps, with a guidance of 7 unless it is in the weights."""
        if given.get("negative_prompt"):
            raise InputError(f"{name} has no negative prompt: leave --negative_prompt out")
        config = read_object(folder / "transformer" / "config.json")
        distilled = bool(config.get("is_turbo")) or config.get("model_version") == "turbo"
        sampling = DiffusionOptions(**{"steps": 8, "guidance": 1.0 if distilled else 7.0, **given})
        if distilled and sampling.guidance > 1:
            raise InputError(f"{name} has its guidance in its weights: leave --guidance out")
        return sampling

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt, seconds)

    def _kind(self, prompt: Prompt, seconds: float) -> Hashable:
        return self._conditioner.padded_length(prompt, seconds)

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        frames = math.ceil(samples / self._hop)
        while self._decoder.samples_of(frames) < samples:  # an odd ratio of the autoencoder loses some
            frames += 1
        return (self._parts.transformer.config.audio_acoustic_hidden_dim, frames)

    def _scales(self, step: int) -> tuple[float, float]:
        levels = noise_levels(self.options.steps)
        level = float(sigmas_of(self._parts.scheduler, levels, self._device)[step])
        return 1.0 - level, level

    def _denoise(
        self, prompts: Sequence[Prompt], seconds: float, state: State, noise: GaussianNoise, span: range
    ) -> None:
        states, mask = self._conditioner.batch(prompts, seconds)
        source = self._conditioner.silence(noise.shape[-1])
        guidance = self.options.guidance
        away = self._parts.condition_encoder.null_condition_emb
        denoiser = AceStepDenoiser(self._parts.transformer, states, mask, away, source, guidance, state)
        levels = noise_levels(self.options.steps)
        integrate(denoiser.predict, self._parts.scheduler, levels, state, noise, span)


def noise_levels(steps: int) -> list[float]:
    """Return the noise level of each step, evenly spaced and then shifted."""
    even = torch.linspace(1.0, 0.0, steps + 1)
    return (_SHIFT * even / (1 + (_SHIFT - 1) * even))[:-1].tolist()
