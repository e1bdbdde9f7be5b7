"""Resampling lets gradients through: they are those of what soxr computes."""

import pytest
import torch

from music.resampling import resample


@pytest.mark.parametrize(
    ("old", "new", "error"), [(16_000, 24_000, 1e-5), (48_000, 24_000, 1e-4), (44_100, 24_000, 5e-3)]
)
@pytest.mark.parametrize("samples", [5_000, 7_001])
def test_the_gradient_is_that_of_each_sample(old, new, error, samples):
    waves = torch.zeros(5, samples)
    for row, place in enumerate((0, 1, samples // 2, samples - 2, samples - 1)):
        waves[row, place] = 1.0
    made = resample(waves, old, new)  # of impulses: columns of the matrix that resampling is
    weights = torch.randn(made.shape[1], generator=torch.Generator().manual_seed(0))
    given = torch.zeros(1, samples, requires_grad=True)
    (weights * resample(given, old, new)).sum().backward()
    found = [given.grad[0, place] for place in (0, 1, samples // 2, samples - 2, samples - 1)]
    torch.testing.assert_close(torch.stack(found), made @ weights, atol=error, rtol=0)


def test_each_channel_has_its_own():
    given = torch.randn(2, 900, generator=torch.Generator().manual_seed(0)).requires_grad_()
    resample(given, 32_000, 24_000)[1].sum().backward()
    assert given.grad[0].abs().max() == 0
    assert given.grad[1].abs().min() > 0
