"""Stable Audio 3 in the format of diffusers.

The sampling loop is our own, over the model classes and the scheduler of diffusers, because the pipeline draws the
new noise of each step for a whole batch from torch's generators; see `generators.diffusion.flow_matching` and
`generators.stable_audio.version_3`. The published distilled models renoise at each of 8 steps (ping-pong) and need
no guidance; the base models take 100 plain steps. Which of both it is stands in the scheduler's configuration.

It conditions on the text of a prompt and does not look at lyrics and reference.

From texts and a duration to what Stable Audio 3's transformer attends to.

Stable Audio 3's diffusion transformer with guidance.

It runs the modules of a `StableAudio3DiTModel`. As in `generators.stable_audio.diffusers.denoiser`, what does not
change from step to step is computed once, and only the blocks may be in bfloat16: `forward` would round rotary
positions, which bfloat16 cannot tell apart beyond 256.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.diffusion.flow_matching import integrate, log_snr_levels
from generators.diffusion.generator import DiffusionGenerator
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
from generators.shared.texts import Remembered, check_length
from music.prompts import Prompt

_LONGEST_TEXT = 256  # tokens; what the published models were trained with


class StableAudio3Conditioner:
    """Tokenizer, text encoder and embedding of the duration of a Stable Audio 3 model.

    Each distinct text is encoded once and alone, at the one padded length that the model was trained with; a learned
    vector stands where it is padded.

    Parameters
    ----------
    tokenizer
        Of the text encoder.
    text_encoder
        A `T5GemmaEncoderModel`.
    duration_embedder
        A `StableAudio3DurationEmbedder`.
    padding
        What stands for padding, `[D]`.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any, duration_embedder: Any, padding: Any) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._duration_embedder = duration_embedder
        self._padding = padding
        self._encode = Remembered(self._encode_text)
        self.longest: int = min(tokenizer.model_max_length, _LONGEST_TEXT)

    def check(self, text: str, name: str) -> None:
        """`InputError` if a text, called `name` in the message, is longer than the model takes."""
        check_length(self._tokenizer, text, self.longest, name)

    def context(self, texts: Sequence[str], duration: torch.Tensor) -> torch.Tensor:
        """Return what is attended to: texts and the embedded duration `[1, D]`, `[B, longest + 1, D]`."""
        return torch.stack([torch.cat([self._encode(text), duration]) for text in texts])

    def duration(self, seconds: float) -> torch.Tensor:
        """Return the embedded duration, `[1, D]`."""
        return self._duration_embedder(torch.tensor([float(seconds)], device=self._text_encoder.device))

    def _encode_text(self, text: str) -> torch.Tensor:
        tokens = self._tokenizer(text, padding="max_length", max_length=self.longest, return_tensors="pt")
        ids, mask = (tokens[key].to(self._text_encoder.device) for key in ("input_ids", "attention_mask"))
        states = self._text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[0]
        return torch.where(mask[0, :, None].bool(), states, self._padding)


class StableAudio3Denoiser:
    """Velocities for one batch of B clips.

    Parameters
    ----------
    transformer
        A `StableAudio3DiTModel` in evaluation mode, all but its blocks in float32.
    context
        Of B rows, or with guidance of 2 B rows, of which guidance leads away from the first B.
    duration
        Of all clips, embedded, `[1, D]`.
    guidance
        Scale of classifier-free guidance; 1 is without.
    frames
        Length of the latents.
    """

    def __init__(
        self,
        transformer: Any,
        context: torch.Tensor,
        duration: torch.Tensor,
        guidance: float,
        frames: int,
    ) -> None:
        self._transformer = transformer
        self._guidance = guidance
        self._dtype = next(transformer.transformer_blocks.parameters()).dtype
        self._context = transformer.to_cond_embed(context).to(self._dtype)
        self._duration = transformer.to_global_embed(duration)
        self._memory: int = transformer.config.num_memory_tokens
        self._rotary = transformer.rotary_pos_emb(self._memory + frames, context.device)

    def predict(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the velocity of latents `[B, channels, frames]` (float32) at a time (scalar in 0 to 1)."""
        model = self._transformer
        if self._guidance != 1:
            latents = torch.cat([latents, latents])
        moment = model.to_timestep_embed(model.timestep_features(time.float().view(1, 1)))
        modulation = model.global_cond_embedder(self._duration + moment).to(self._dtype)
        hidden = model.proj_in((model.preprocess_conv(latents) + latents).transpose(1, 2))
        if self._memory:
            hidden = torch.cat([model.memory_tokens.expand(len(hidden), -1, -1), hidden], dim=1)
        hidden = hidden.to(self._dtype)
        for block in model.transformer_blocks:
            hidden = block(hidden, context=self._context, global_modulation=modulation, rope=self._rotary)
        found = model.proj_out(hidden[:, self._memory :].float()).transpose(1, 2)
        found = model.postprocess_conv(found) + found
        if self._guidance != 1:
            away, towards = found.chunk(2)
            found = away + self._guidance * (towards - away)
        return found


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
    """A Stable Audio 3 model; see `generators.diffusion.generator.DiffusionGenerator`.

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
    """Load a Stable Audio 3 model; see `generators.diffusion.backend.load_diffusers`.

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
