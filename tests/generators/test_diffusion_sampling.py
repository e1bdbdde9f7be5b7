"""Noise of a candidate from its own stream, and options out of range."""

import math

import pytest
import torch

from generators.diffusion.sampling import DiffusionOptions, GaussianNoise
from music.errors import InputError


def test_draws_are_standard_normal_and_independent():
    noise = GaussianNoise([1, 2], (4, 30_000), slots=2)
    first, second = noise.draw().clone(), noise.draw().clone()
    rows = torch.cat([first.flatten(0, 1), second.flatten(0, 1)])
    assert (torch.corrcoef(rows) - torch.eye(len(rows))).abs().max() < 0.03
    assert rows.mean().item() == pytest.approx(0, abs=0.01)
    assert rows.var().item() == pytest.approx(1, abs=0.01)
    assert (rows.abs() < 1.96).float().mean().item() == pytest.approx(0.95, abs=0.005)


def test_a_stream_depends_on_all_bits_of_its_seed_and_on_nothing_else():
    alone = GaussianNoise([5], (3, 7), slots=1)
    beside = GaussianNoise([9, 5, 5 + 2**40], (3, 7), slots=4)
    for _ in range(3):
        found = beside.draw()
        assert torch.equal(alone.draw()[0], found[1])
        assert not torch.equal(found[1], found[2])
        assert not found[3].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 1}, "steps must be at least 2"),
        ({"guidance": 0.5}, "guidance must be at least 1"),
        ({"guidance": math.nan}, "guidance must be at least 1"),
        ({"guidance": 1.0, "negative_prompt": "noise"}, "negative_prompt has no effect without guidance"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        DiffusionOptions(**options)
