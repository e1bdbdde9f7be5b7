"""Sampling from models of a velocity (rectified flow): along the ordinary differential equation, or by re-noising.

A clip at noise level s is (1 - s) * music + s * noise, and the model predicts noise - music.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from generators.diffusion.sampling import GaussianNoise, State


def integrate(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    scheduler: Any,
    levels: Sequence[float],
    state: State,
    noise: GaussianNoise,
    span: range,
) -> None:
    """Do some of the steps from noise to latents.

    Parameters
    ----------
    predict
        Function from latents `[B, ...]` and a time (scalar tensor) to the velocity.
    scheduler
        A `FlowMatchEulerDiscreteScheduler`, whose configuration may shift the levels; with `stochastic_sampling`
        each step goes all the way to music and adds new noise for the next level (ping-pong).
    levels
        Levels of noise from the first step to the last; after it there is none.
    state
        State of the batch, which is changed.
    noise
        Noise of each clip for each step but the last, if the sampling is stochastic.
    span
        Which steps.
    """
    latents = state["latents"]
    sigmas = sigmas_of(scheduler, levels, latents.device)
    stochastic: bool = scheduler.config.stochastic_sampling
    for step in span:
        now, then = sigmas[step], sigmas[step + 1]
        velocity = predict(latents, scheduler.timesteps[step])
        state["clean"] = latents - now * velocity
        latents = (
            renoised(latents, velocity, now, then, noise) if stochastic else latents + (then - now) * velocity
        )
    state["latents"] = latents


def sigmas_of(scheduler: Any, levels: Sequence[float], device: torch.device) -> torch.Tensor:
    """Return the levels of noise before each step and after the last, and set the scheduler to them."""
    scheduler.set_timesteps(sigmas=list(levels), device=device)
    sigmas: torch.Tensor = scheduler.sigmas
    return sigmas


def renoised(
    latents: torch.Tensor,
    velocity: torch.Tensor,
    now: torch.Tensor | float,
    then: torch.Tensor | float,
    noise: GaussianNoise,
) -> torch.Tensor:
    """Return latents after a step of ping-pong: all the way to music, and back to the next level with new noise.

    Parameters
    ----------
    latents, velocity
        `[B, ...]`.
    now, then
        Levels of noise before and after the step; at 0 no noise is drawn.
    noise
        Noise of the batch.
    """
    clean = latents - now * velocity
    return (1.0 - then) * clean + then * noise.draw() if then > 0 else clean


def log_snr_levels(steps: int, first: float, last: float) -> list[float]:
    """Return the noise level of each step: 1, then evenly spaced in the logarithm of signal to noise.

    Parameters
    ----------
    steps
        Number of steps.
    first, last
        Logarithms of signal to noise at the first step, where 1 is taken instead, and beyond the last.
    """
    return [1.0, *torch.sigmoid(-torch.linspace(first, last, steps + 1))[1:-1].tolist()]
