"""The samplers of Stability's models, with each candidate's own noise.

Which one belongs to a model follows from what it was trained to predict, ``diffusion_objective`` in its
``model_config.json``:

- ``rf_denoiser``, a rectified flow distilled into few steps (Novack et al. 2025): ping-pong, which goes all the way
  to clean latents at every step and back to the next noise level with fresh noise;
- ``v``: DPM-Solver++(3M) SDE of k-diffusion, noise levels as its authors recommend them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

from generators.diffusion.flow_matching import log_snr_levels, renoised
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise
from generators.stable_audio.tools.library import import_stability

# From latents `[B, channels, frames]` and a time for each, `[B]`, to what the model predicts.
Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_LOWEST, _HIGHEST = 0.3, 500.0  # noise levels of the v objective
_LOG_SNR = (-6.0, 2.0)  # from the first step of ping-pong to the end


@dataclass(frozen=True)
class Sampler:
    """A sampler and what its authors recommend to use it with.

    Attributes
    ----------
    run
        Function from predictions, noise and the number of steps to latents.
    defaults
        Options where none are given.
    """

    run: Callable[[Predict, GaussianNoise, int], torch.Tensor]
    defaults: DiffusionOptions


def ping_pong(predict: Predict, noise: GaussianNoise, steps: int) -> torch.Tensor:
    """Sample a rectified flow that was distilled; noise is drawn once for the start and once between steps.

    Parameters
    ----------
    predict
        Function that gives the velocity, noise minus clean latents.
    noise
        Noise of a batch of B clips.
    steps
        Number of steps.

    Returns
    -------
    torch.Tensor
        `[B, channels, frames]`, float32.
    """
    latents = noise.draw().clone()
    for now, then in pairwise([*log_snr_levels(steps, *_LOG_SNR), 0.0]):
        velocity = predict(latents, latents.new_full((len(latents),), now))
        latents = renoised(latents, velocity, now, then, noise)
    return latents


def dpm_solver(predict: Predict, noise: GaussianNoise, steps: int) -> torch.Tensor:
    """Sample a v-prediction model; noise is drawn once for the start and once for each step but the last.

    Parameters and return value are those of `ping_pong`, but that `predict` gives v.
    """
    library = import_stability()
    start = noise.draw()
    levels = library.samplers.get_sigmas_polyexponential(steps, _LOWEST, _HIGHEST, 1.0, device=start.device)
    return library.samplers.sample_dpmpp_3m_sde(
        library.denoisers.VDenoiser(predict),
        start * levels[0],
        levels,
        disable=True,
        noise_sampler=lambda *_: noise.draw(),  # instead of a Brownian tree of one seed a batch
    )


SAMPLERS = {
    "rf_denoiser": Sampler(ping_pong, DiffusionOptions(steps=8, guidance=1.0)),
    "v": Sampler(dpm_solver, DiffusionOptions(steps=100, guidance=7.0)),
}
