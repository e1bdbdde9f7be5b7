"""Stable Audio 3 in the format of diffusers.

The sampling loop is our own, over the model classes and the scheduler of diffusers, because the pipeline draws the
new noise of each step for a whole batch from torch's generators; see `generators.diffusion.flow_matching`. The
published distilled models renoise at each of 8 steps (ping-pong) and need no guidance; the base models take 100 plain
steps. Which of both it is stands in the scheduler's configuration.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from generators.diffusion.flow_matching import integrate, log_snr_levels, sigmas_of
from generators.diffusion.generator import PipelineGenerator
from generators.diffusion.pipeline_folder import PipelineFormat, check_channels
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise, State, widen_gap
from generators.shared.model_loading import check_fit
from generators.shared.texts import Remembered, check_length
from music.files import read_object
from music.prompts import Prompt

_LONGEST_TEXT = 256  # tokens; what the published models were trained with
_LOG_SNR = (-6.2, 2.0)  # of the first step and beyond the last: the defaults of the pipeline


class StableAudio3Conditioner:
    """Tokenizer, text encoder and embedding of the duration of a Stable Audio 3 model.

    Each distinct text is encoded once and alone, at the one padded length that the model was trained with; a learned
    vector stands where it is padded.

    Parameters
    ----------
    tokenizer, text_encoder
        A `T5GemmaEncoderModel` and its tokenizer.
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

    It runs the modules of a `StableAudio3DiTModel`. As in `generators.stable_audio.diffusers.denoiser`, what does not
    change from step to step is computed once, and only the blocks may be in bfloat16: `forward` would round rotary
    positions, which bfloat16 cannot tell apart beyond 256.

    Parameters
    ----------
    transformer
        A `StableAudio3DiTModel` in evaluation mode, all but its blocks in float32.
    context
        What is attended to: B rows, or with guidance 2 B rows, of which guidance leads away from the first B.
    duration
        Embedded duration of all clips, `[1, D]`.
    guidance
        Scale of classifier-free guidance; 1 is without.
    frames
        Length of the latents.
    gap
        Where it is added up how far guidance leads; see `generators.diffusion.sampling.widen_gap`.
    """

    def __init__(
        self,
        transformer: Any,
        context: torch.Tensor,
        duration: torch.Tensor,
        guidance: float,
        frames: int,
        gap: torch.Tensor,
    ) -> None:
        self._gap = gap
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
            widen_gap(self._gap, towards, away)
            found = away + self._guidance * (towards - away)
        return found


def _check(folder: Path, parts: Any) -> None:
    transformer, width = parts.transformer.config, parts.duration_embedder.config.output_dim
    check_fit(
        folder,
        (
            ("io_channels of the transformer", transformer.io_channels, parts.vae.config.latent_dim),
            ("global_cond_dim of the transformer", transformer.global_cond_dim, width),
            ("cond_token_dim of the transformer", transformer.cond_token_dim, width),
            ("patch_size of the transformer", transformer.patch_size, 1),
        ),
    )
    check_channels(folder, parts.vae.config.audio_channels)


class StableAudio3(PipelineGenerator):
    """A Stable Audio 3 model; see `generators.diffusion.generator.PipelineGenerator`.

    Its tokens are the latents of the clip, as many frames as the clip needs.
    """

    sampler = 1
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
        worker="transformer.transformer_blocks",
        check=_check,
    )

    def _prepare(self, parts: Any) -> None:
        self.sample_rate = parts.vae.config.sampling_rate
        self.channels = parts.vae.config.audio_channels
        self.max_seconds = float(parts.duration_embedder.config.max_val)
        self._conditioner = StableAudio3Conditioner(
            parts.tokenizer,
            parts.text_encoder,
            parts.duration_embedder,
            parts.transformer.prompt_padding_embedding,
        )

    @classmethod
    def sampling_of(cls, name: str, folder: Path, given: Mapping[str, Any]) -> DiffusionOptions:
        """Return how a model samples: without guidance, in 8 steps if they renoise, else in 100."""
        renoises = read_object(folder / "scheduler" / "scheduler_config.json").get("stochastic_sampling")
        return DiffusionOptions(**{"steps": 8 if renoises else 100, "guidance": 1.0, **given})

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        return (self._parts.vae.config.latent_dim, math.ceil(samples / self._parts.vae.downsampling_ratio))

    def _scales(self, step: int) -> tuple[float, float]:
        levels = log_snr_levels(self.options.steps, *_LOG_SNR)
        level = float(sigmas_of(self._parts.scheduler, levels, self._device)[step])
        return 1.0 - level, level

    def _denoise(
        self, prompts: Sequence[Prompt], seconds: float, state: State, noise: GaussianNoise, span: range
    ) -> None:
        options, duration = self.options, self._conditioner.duration(seconds)
        texts = [prompt.text for prompt in prompts]
        if options.guidance > 1:
            texts = [*[options.negative_prompt] * len(prompts), *texts]
        context = self._conditioner.context(texts, duration)
        frames = noise.shape[-1]
        denoiser = StableAudio3Denoiser(
            self._parts.transformer, context, duration, options.guidance, frames, state["gap"]
        )
        levels = log_snr_levels(options.steps, *_LOG_SNR)
        integrate(denoiser.predict, self._parts.scheduler, levels, state, noise, span)

    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        return self._parts.vae.decode(latents[None]).sample[0, :, :samples]
