"""What the denoiser of a Stable Audio learns, so that its scheduler samples with it.

`CosineDPMSolverMultistepScheduler` adds noise to clean latents x of deviation 1, y = x + sigma n, and asks the
transformer at each of its levels sigma for v in

    x = y / (1 + sigma^2) - v sigma / sqrt(1 + sigma^2)        (its `precondition_outputs` for v-prediction)

showing it y / sqrt(1 + sigma^2) at the time 2 atan(sigma) / pi. Solved for v with the true x that is the target
(n - sigma x) / sqrt(1 + sigma^2), the v of Salimans & Ho 2022 at the angle atan(sigma).

The levels run from sigma_max down to sigma_min, evenly in their logarithm, and end with the clean latents expected at
sigma_min. Training draws them where most is to be learned (a normal distribution of their logarithms, as Karras et al.
2022, cut to the scheduler's range, so that many fall on sigma_min, whose answer is what one hears), and a share of them
evenly over the range.
"""

from __future__ import annotations

import math

import numpy as np
import torch

CENTRE, SPREAD = math.log(2.0), 1.4  # of the logarithms; latents of a song agree with each other, so above 0
EVENLY = 0.25  # share of the levels


def draw_sigmas(rng: np.random.Generator, count: int, lowest: float, highest: float) -> torch.Tensor:
    """Draw noise levels [count], one from each `count`-th of the distribution, in random order."""
    low, high = math.log(lowest), math.log(highest)
    place = torch.from_numpy((rng.permutation(count) + rng.random(count)) / count)
    evenly = low + (high - low) * place / EVENLY
    normal = torch.special.ndtri(((place - EVENLY) / (1 - EVENLY)).clamp(1e-6, 1 - 1e-6))
    logarithms = torch.where(place < EVENLY, evenly, (CENTRE + SPREAD * normal).clamp(low, high))
    return logarithms.exp().float()


def times_of(sigmas: torch.Tensor) -> torch.Tensor:
    """Return the times of noise levels, in (0, 1), as the scheduler tells them to the transformer."""
    return sigmas.atan() * (2 / math.pi)


def noisy_and_target(
    clean: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the transformer is shown and what it should answer.

    Parameters
    ----------
    clean
        Latents of deviation 1, [B, channels, frames].
    noise
        Standard normal, of the same shape.
    sigmas
        Noise levels, [B].
    """
    sigma = sigmas[:, None, None]
    scale = (1 + sigma.square()).rsqrt()
    return scale * (clean + sigma * noise), scale * (noise - sigma * clean)
