"""Sampling from models of a velocity (rectified flow): along the ordinary differential equation, or by re-noising.

A clip at noise level s is (1 - s) * music + s * noise, and the model predicts noise - music.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from generators.diffusion_sampling import GaussianNoise


def integrate(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    scheduler: Any,
    levels: Sequence[float],
    noise: GaussianNoise,
) -> torch.Tensor:
    """Turn noise into latents.

    Parameters
    ----------
    predict
        From latents `[B, ...]` and a time (scalar tensor) to the velocity.
    scheduler
        A `FlowMatchEulerDiscreteScheduler`, whose configuration may shift the levels; with `stochastic_sampling`
        each step goes all the way to music and adds new noise for the next level (ping-pong).
    levels
        Of noise, from the first step to the last; after it there is none.
    noise
        For each clip that of the beginning, then that of each step, if the sampling is stochastic.

    Returns
    -------
    torch.Tensor
        `[B, ...]`, float32.
    """
    latents = noise.draw().clone()
    scheduler.set_timesteps(sigmas=list(levels), device=latents.device)
    stochastic: bool = scheduler.config.stochastic_sampling
    for step, time in enumerate(scheduler.timesteps):
        now, then = scheduler.sigmas[step], scheduler.sigmas[step + 1]
        velocity = predict(latents, time)
        if stochastic:
            latents = (1.0 - then) * (latents - now * velocity) + then * noise.draw()
        else:
            latents = latents + (then - now) * velocity
    return latents
