"""The samplers of Stability's models, with each candidate's own noise.

Which one belongs to a model follows from what it was trained to predict, ``diffusion_objective`` in its
``model_config.json``:

- ``rf_denoiser``, a rectified flow distilled into few steps (Novack et al. 2025): ping-pong, which goes all the way
  to clean latents at every step and back to the next noise level with fresh noise;
- ``v``: DPM-Solver++(3M) SDE of k-diffusion, noise levels as its authors recommend them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from generators.diffusion.flow_matching import log_snr_levels, renoised
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise, State
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
        Function that does some of the steps: from predictions, state (which is changed), noise, the number of all
        steps, and which to do.
    levels
        Function from the number of steps and the device to the levels of noise before each and after the last.
    flow
        Whether music fades as noise grows, (1 - s) * music + s * noise, or is as loud: music + s * noise.
    defaults
        Options where none are given.
    """

    run: Callable[[Predict, State, GaussianNoise, int, range], None]
    levels: Callable[[int, torch.device], list[float]]
    flow: bool
    defaults: DiffusionOptions


def ping_pong(predict: Predict, state: State, noise: GaussianNoise, steps: int, span: range) -> None:
    """Sample a rectified flow that was distilled; noise is drawn once between steps.

    Parameters
    ----------
    predict
        Function that gives the velocity, noise minus clean latents.
    state
        State of a batch of B clips, which is changed.
    noise
        Noise of the batch.
    steps
        Number of steps.
    span
        Which of them to do.
    """
    latents = state["latents"]
    levels = flow_levels(steps, latents.device)
    for step in span:
        now, then = levels[step], levels[step + 1]
        velocity = predict(latents, latents.new_full((len(latents),), now))
        state["clean"] = latents - now * velocity
        latents = renoised(latents, velocity, now, then, noise)
    state["latents"] = latents


def flow_levels(steps: int, device: torch.device) -> list[float]:
    """Return the levels of noise of ping-pong."""
    return [*log_snr_levels(steps, *_LOG_SNR), 0.0]


def dpm_solver(predict: Predict, state: State, noise: GaussianNoise, steps: int, span: range) -> None:
    """Sample a v-prediction model; noise is drawn once for each step but the last.

    The library's solver begins at its first step and remembers the two predictions before each. To go on in the
    middle, it is handed those two again, and then the latents in place of what it made of them.

    Parameters are those of `ping_pong`, but that `predict` gives v.
    """
    library = import_stability()
    known = [state[name] for name in ("before", "clean") if name in state]
    latents, first = state["latents"], span.start - len(known)
    denoise, made = library.denoisers.VDenoiser(predict), list(known)
    calls = 0

    def denoiser(noisy: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls <= len(known):
            return known[calls - 1]
        if calls == len(known) + 1:
            noisy.copy_(latents)
        made.append(denoise(noisy, level))
        return made[-1]

    levels = _sigmas(steps, latents.device)[first : span.stop + 1]
    silence = torch.zeros_like(latents)
    state["latents"] = library.samplers.sample_dpmpp_3m_sde(
        denoiser,
        latents.clone(),
        levels,
        disable=True,
        # instead of a Brownian tree of one seed a batch
        noise_sampler=lambda *_: silence if calls <= len(known) else noise.draw(),
    )
    state |= dict(zip(("clean", "before"), reversed(made[-2:]), strict=False))


def dpm_levels(steps: int, device: torch.device) -> list[float]:
    """Return the levels of noise of the solver for v-prediction."""
    return _sigmas(steps, device).tolist()


def _sigmas(steps: int, device: torch.device) -> torch.Tensor:
    samplers = import_stability().samplers
    sigmas: torch.Tensor = samplers.get_sigmas_polyexponential(steps, _LOWEST, _HIGHEST, 1.0, device=device)
    return sigmas


SAMPLERS = {
    "rf_denoiser": Sampler(ping_pong, flow_levels, True, DiffusionOptions(steps=8, guidance=1.0)),
    "v": Sampler(dpm_solver, dpm_levels, False, DiffusionOptions(steps=100, guidance=7.0)),
}
