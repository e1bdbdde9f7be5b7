"""ACE-Step 1.5 in the format of diffusers: music from text, lyrics and the sound of a reference.

The sampling loop is our own, over the model classes and the scheduler of diffusers; see
`generators.diffusion.flow_matching`, `generators.ace_step.conditioning` and `generators.ace_step.denoiser`. What
the pipeline does after decoding, scaling every clip to a peak of -1 dBFS, is left out: a clip is as the decoder
makes it.

Lyrics are taken to be English, as by the pipeline; they may have marks like ``[verse]``. The reference gives the
timbre, not the melody.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.ace_step.conditioning import LENGTH_MULTIPLE, AceStepConditioner
from generators.ace_step.denoiser import AceStepDenoiser
from generators.diffusion.flow_matching import integrate
from generators.diffusion.generator import DiffusionGenerator
from generators.diffusion.latent_decoder import LatentDecoder
from generators.diffusion.pipeline_folder import (
    PipelineFormat,
    check_channels,
    check_fit,
    freeze,
    load_model,
    load_scheduler,
    load_tokenizer,
)
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise
from music.errors import InputError
from music.files import read_object
from music.prompts import Prompt

# Part of every spec: raise it with any change of our own code that changes the audio of a seed.
SAMPLER = 1
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
)
_SHIFT = 3.0  # of the noise levels towards noise: the default of the pipeline


@dataclass(frozen=True, eq=False)
class AceStepParts:
    """The parts of an ACE-Step pipeline that make music from text, as diffusers and transformers load them."""

    vae: Any
    text_encoder: Any
    condition_encoder: Any
    transformer: Any
    scheduler: Any
    tokenizer: Any


class AceStep(DiffusionGenerator):
    """An ACE-Step 1.5 model; see `generators.diffusion.generator.DiffusionGenerator`.

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
        If the batch size is below 1, or an option is not for this model.
    """

    accepts = frozenset({"text", "lyrics"})

    def __init__(
        self, name: str, parts: AceStepParts, weights: str, options: DiffusionOptions, batch_size: int
    ) -> None:
        device = parts.transformer.device
        dtype = next(parts.transformer.layers.parameters()).dtype
        super().__init__(name, weights, options, batch_size, SAMPLER, device, dtype)
        self.spec = {**self.spec, "length_multiple": LENGTH_MULTIPLE}
        self._accept_references()
        self.sample_rate: int = parts.vae.config.sampling_rate
        self.channels: int = parts.vae.config.audio_channels
        self._transformer, self._scheduler = parts.transformer, parts.scheduler
        self._away = parts.condition_encoder.null_condition_emb
        self._conditioner = AceStepConditioner(
            parts.tokenizer, parts.text_encoder, parts.vae, parts.condition_encoder
        )
        self._decoder = LatentDecoder(parts.vae)
        self._hop = math.prod(parts.vae.config.downsampling_ratios)
        # of the silence that comes with the model: ten minutes
        self.max_seconds = parts.condition_encoder.silence_latent.shape[1] * self._hop / self.sample_rate

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt, seconds)

    def _kind(self, prompt: Prompt, seconds: float) -> Hashable:
        return self._conditioner.padded_length(prompt, seconds)

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        frames = math.ceil(samples / self._hop)
        while self._decoder.samples_of(frames) < samples:  # an odd ratio of the autoencoder loses some
            frames += 1
        return (self._transformer.config.audio_acoustic_hidden_dim, frames)

    def _denoise(self, prompts: Sequence[Prompt], seconds: float, noise: GaussianNoise) -> torch.Tensor:
        states, mask = self._conditioner.batch(prompts, seconds)
        source = self._conditioner.silence(noise.shape[-1])
        guidance = self.options.guidance
        denoiser = AceStepDenoiser(self._transformer, states, mask, self._away, source, guidance)
        return integrate(denoiser.predict, self._scheduler, noise_levels(self.options.steps), noise)

    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        return self._decoder.decode(latents, samples)


def noise_levels(steps: int) -> list[float]:
    """Return the noise level of each step, evenly spaced and then shifted."""
    even = torch.linspace(1.0, 0.0, steps + 1)
    return (_SHIFT * even / (1 + (_SHIFT - 1) * even))[:-1].tolist()


def sampling_of(name: str, folder: Path, options: Mapping[str, Any]) -> DiffusionOptions:
    """Return how a model samples: `InputError` for options that it cannot follow."""
    if options.get("negative_prompt"):
        raise InputError(f"{name} has no negative prompt: leave --negative_prompt out")
    config = read_object(folder / "transformer" / "config.json")
    distilled = (
        bool(config.get("is_turbo")) or config.get("model_version") == "turbo"
    )  # guidance in its weights
    sampling = DiffusionOptions(**{"steps": 8, "guidance": 1.0 if distilled else 7.0, **options})
    if distilled and sampling.guidance > 1:
        raise InputError(f"{name} has its guidance in its weights: leave --guidance out")
    return sampling


def load_ace_step(
    name: str,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    options: Mapping[str, Any],
    batch_size: int,
) -> AceStep:
    """Load an ACE-Step 1.5 model; see `generators.diffusion.backend.load_diffusers`.

    The defaults are those of diffusers' pipeline: 8 steps, and a guidance of 7 unless it is in the weights.
    """
    sampling = sampling_of(name, folder, options)  # before gigabytes are loaded
    parts = _load_parts(folder, device, dtype)
    return AceStep(name, parts, FORMAT.hash(folder), sampling, batch_size)


def _load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> AceStepParts:
    """Load a pipeline, the layers of the transformer in `dtype` and all else in float32."""
    with FORMAT.loading(folder):
        from diffusers import (
            AceStepTransformer1DModel,
            AutoencoderOobleck,
            FlowMatchEulerDiscreteScheduler,
        )
        from diffusers.pipelines.ace_step.modeling_ace_step import AceStepConditionEncoder
        from transformers import Qwen3Model

        parts = AceStepParts(
            vae=load_model(AutoencoderOobleck, folder, "vae"),
            text_encoder=load_model(Qwen3Model, folder, "text_encoder"),
            condition_encoder=load_model(AceStepConditionEncoder, folder, "condition_encoder"),
            transformer=load_model(AceStepTransformer1DModel, folder, "transformer"),
            scheduler=load_scheduler(FlowMatchEulerDiscreteScheduler, folder),
            tokenizer=load_tokenizer(folder),
        )
    vae, conditions, transformer = parts.vae, parts.condition_encoder.config, parts.transformer.config
    latent, width = vae.config.decoder_input_channels, transformer.encoder_hidden_size
    check_fit(
        folder,
        (
            ("audio_acoustic_hidden_dim of the transformer", transformer.audio_acoustic_hidden_dim, latent),
            ("in_channels of the transformer", transformer.in_channels, 3 * latent),
            ("timbre_hidden_dim of the condition encoder", conditions.timbre_hidden_dim, latent),
            (
                "text_hidden_dim of the condition encoder",
                conditions.text_hidden_dim,
                parts.text_encoder.config.hidden_size,
            ),
            (
                "hidden_size of the condition encoder",
                conditions.hidden_size,
                transformer.hidden_size if width is None else width,
            ),
        ),
    )
    check_channels(folder, vae.config.audio_channels)
    freeze((parts.vae, parts.text_encoder, parts.condition_encoder, parts.transformer), device)
    parts.transformer.layers.to(dtype)
    return parts
