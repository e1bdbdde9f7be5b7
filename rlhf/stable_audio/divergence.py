"""The divergence of one Stable Audio from another: how differently both would denoise the same noised clips.

The latents of a clip are noised at `LEVELS` levels, evenly apart in the logarithm of the range that the scheduler
walks. The noise depends on the candidate and the level alone. Velocities are those of the sampling, with its guidance,
in float32; the metric is the mean of their squared difference over levels, channels and frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from generators.stable_audio.diffusers.conditioning import StableAudioConditioner
from generators.stable_audio.diffusers.denoiser import Denoiser
from generators.stable_audio.diffusers.loading import StableAudioParts, load_parts
from generators.stable_audio.velocity_target import noisy_and_target, times_of
from music.candidate import Candidate
from rlhf.assessment.divergence import Divergence
from rlhf.stable_audio.losses import error
from rlhf.streams import Purpose, normal, stream

LEVELS = 8


class VelocityDivergence(Divergence):
    """Mean squared difference of velocities."""

    metrics = ("velocity_mse",)
    arithmetic = 2  # the first level no longer has the noise that made the clip

    @cached_property
    def _loaded(self) -> tuple[list[tuple[StableAudioParts, StableAudioConditioner]], torch.Tensor]:
        """The parts of both with their conditioners, and the noise levels `[LEVELS]`."""
        found = [load_parts(folder, self._device, torch.float32) for folder in self._folders]
        config = found[0].scheduler.config
        low, high = np.log([config.sigma_min, config.sigma_max])
        levels = np.exp(low + (high - low) * (np.arange(LEVELS) + 0.5) / LEVELS)
        conditioners = [
            StableAudioConditioner(one.tokenizer, one.text_encoder, one.projection_model) for one in found
        ]
        return list(zip(found, conditioners, strict=True)), torch.from_numpy(levels).float()

    @torch.inference_mode()
    def _measured(self, candidates: Sequence[Candidate]) -> torch.Tensor:
        models, levels = self._loaded
        options, clean = self._options, torch.stack([self._pool.tokens(one).float() for one in candidates])
        texts, seconds = [one.text for one in candidates], candidates[0].seconds
        denoisers = [
            Denoiser(
                parts.transformer,
                conditioner.batch(texts, seconds, options.negative_prompt, options.guidance > 1),
                options.guidance,
                clean.shape[-1],
            )
            for parts, conditioner in models
        ]
        total = torch.zeros(len(candidates))
        for number, level in enumerate(levels):
            noise = torch.stack([noise_of(one.seed, number, clean.shape[1:]) for one in candidates])
            noisy, _ = noisy_and_target(clean, noise, level.expand(len(candidates)))
            own, before = (
                one.predict(noisy.to(self._device), times_of(level).to(self._device)) for one in denoisers
            )
            total += error(own, before).cpu()
        return (total / LEVELS)[:, None]


def noise_of(seed: int, level: int, shape: Sequence[int]) -> torch.Tensor:
    """Return standard normal noise for a candidate's seed and a level; none that a clip is made from."""
    return normal(stream(seed, Purpose.DIVERGENCE, level), shape)
