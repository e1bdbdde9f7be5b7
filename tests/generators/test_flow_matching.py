"""Steps from noise to music with a velocity that is known."""

import pytest
import torch

from generators.diffusion.flow_matching import log_snr_levels, renoised
from generators.diffusion.sampling import GaussianNoise


def test_levels_go_down_from_pure_noise_evenly_in_the_logarithm_of_signal_to_noise():
    levels = log_snr_levels(8, -6.0, 2.0)
    assert (len(levels), levels[0]) == (8, 1.0)
    assert levels == sorted(levels, reverse=True)
    assert levels[4] == pytest.approx(1 / (1 + torch.e**-2), abs=1e-6)  # log of signal to noise -2


def test_a_renoised_clip_is_music_with_noise_of_the_next_level():
    music, start = torch.randn(2, 2, 3, 5, generator=torch.Generator().manual_seed(1))
    now, then = 0.75, 0.5
    latents, velocity = (1 - now) * music + now * start, start - music
    found = renoised(latents, velocity, now, then, GaussianNoise([3, 4], (3, 5), slots=2))
    fresh = GaussianNoise([3, 4], (3, 5), slots=2).draw()
    torch.testing.assert_close(found, (1 - then) * music + then * fresh)
    noise = GaussianNoise([3, 4], (3, 5), slots=2)
    torch.testing.assert_close(renoised(latents, velocity, now, 0.0, noise), music)
    assert torch.equal(noise.draw(), fresh)  # nothing was drawn of it at the end
