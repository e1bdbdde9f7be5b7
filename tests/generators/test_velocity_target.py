"""What the denoiser learns is what the scheduler asks of it: shown by data whose best denoiser is known."""

import math

import numpy as np
import pytest
import torch

from generators.diffusion.sampling import GaussianNoise
from generators.stable_audio.diffusers.generator import denoise
from generators.stable_audio.velocity_target import draw_sigmas, noisy_and_target, times_of
from music.library_repairs import repair_torchaudio

MEAN, DEVIATION = 0.7, 0.5


@pytest.fixture(scope="module")
def scheduler():
    pytest.importorskip("torchsde")
    repair_torchaudio()
    from diffusers import CosineDPMSolverMultistepScheduler

    return CosineDPMSolverMultistepScheduler()


def best_answer(shown: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """Return the expected target for independent normal numbers, from what the transformer is told alone."""
    angle = time * math.pi / 2
    keep, add = angle.cos(), angle.sin()
    clean = MEAN + keep * DEVIATION**2 * (shown - keep * MEAN) / (keep**2 * DEVIATION**2 + add**2)
    return (keep * shown - clean) / add


class Best:
    """Stands where the transformer does."""

    def predict(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return best_answer(latents, time)


def test_the_sampler_led_by_the_best_answer_makes_the_data(scheduler):
    noise = GaussianNoise([1, 2], (40, 100), slots=2)
    state = {"latents": noise.draw() * scheduler.init_noise_sigma}
    denoise(Best(), scheduler, state, noise, 100, range(100))  # type: ignore[arg-type]
    found = state["latents"]
    # the last step gives the expectation at sigma_min, which varies less than the data
    kept = DEVIATION**2 / (DEVIATION**2 + scheduler.config.sigma_min**2)
    assert found.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert found.var().item() == pytest.approx(DEVIATION**2 * kept, rel=0.06)


def test_the_best_answer_has_the_least_loss():
    rng = np.random.default_rng(0)
    sigmas = draw_sigmas(rng, 64, 0.3, 500)
    clean = MEAN + DEVIATION * torch.from_numpy(rng.standard_normal((64, 30, 100))).float()
    noise = torch.from_numpy(rng.standard_normal((64, 30, 100))).float()
    shown, target = noisy_and_target(clean, noise, sigmas)
    answer = best_answer(shown, times_of(sigmas)[:, None, None])
    loss = (answer - target).square().mean((1, 2))
    least = DEVIATION**2 * (1 + sigmas**2) / (DEVIATION**2 + sigmas**2)
    torch.testing.assert_close(loss, least, rtol=0.1, atol=0)
    for other in (1.1 * answer, answer + 0.1):
        assert (other - target).square().mean() > loss.mean()


def test_the_true_target_gives_the_clean_latents_back(scheduler):
    clean, noise = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    scheduler.set_timesteps(20)
    for sigma, time in zip(scheduler.sigmas[:-1], scheduler.timesteps, strict=True):
        shown, target = noisy_and_target(clean, noise, sigma.expand(3))
        noisy = clean + sigma * noise
        torch.testing.assert_close(shown, scheduler.precondition_inputs(noisy, sigma))
        denoised = scheduler.precondition_outputs(noisy, target, sigma)
        torch.testing.assert_close(denoised, clean, rtol=0, atol=1e-4 * max(1.0, sigma.item()))
        assert times_of(sigma).item() == pytest.approx(time.item(), rel=1e-6)


def test_noise_levels_cover_the_range_of_the_scheduler():
    sigmas = draw_sigmas(np.random.default_rng(1), 4000, 0.3, 500)
    assert sigmas.min() >= 0.3 - 1e-6
    assert sigmas.max() <= 500 + 1e-3
    # a quarter of them evenly: a quarter of the tenth of the range that is noisiest, where the others hardly are
    assert (sigmas > 500 * (0.3 / 500) ** 0.1).float().mean().item() == pytest.approx(0.026, abs=0.004)
    assert 0.04 < (sigmas < 0.3001).float().mean() < 0.1
    few = draw_sigmas(np.random.default_rng(2), 8, 0.3, 500)
    assert (few > sigmas.median()).sum() in (3, 4, 5), "each batch holds weak and strong noise"
