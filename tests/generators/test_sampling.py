"""Gumbel-max draws from the same distribution as multinomial sampling, each candidate from its own stream."""

import math

import pytest
import torch

from generators.musicgen.sampling import GumbelNoise, SamplingOptions, gumbel_max
from music.errors import InputError

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0, 1.5])


def frequencies(temperature: float, top_k: int, draws: int = 200_000) -> torch.Tensor:
    noise = GumbelNoise([11], (draws, len(LOGITS)), slots=1).draw()[0]
    tokens = gumbel_max(LOGITS.expand(draws, -1), noise, temperature, top_k)
    return torch.bincount(tokens, minlength=len(LOGITS)) / draws


@pytest.mark.parametrize(
    ("temperature", "top_k"), [(1.0, 0), (1.0, 3), (0.7, 0), (1.6, 5), (1.0, 8), (1.0, 99)]
)
def test_frequencies_are_those_of_the_softmax(temperature: float, top_k: int):
    logits = LOGITS / temperature
    if 0 < top_k < len(LOGITS):
        logits = logits.where(LOGITS.topk(top_k).values[-1] <= LOGITS, -math.inf)
    expected = logits.softmax(-1)
    found = frequencies(temperature, top_k)
    # five standard deviations of a binomial frequency
    assert ((found - expected).abs() <= 5 * (expected * (1 - expected) / 200_000).sqrt()).all()


def test_draws_of_different_rows_and_steps_are_independent():
    noise = GumbelNoise([1, 2], (4, 30_000), slots=2)
    first, second = noise.draw().clone(), noise.draw().clone()
    rows = torch.cat([first.flatten(0, 1), second.flatten(0, 1)])
    correlation = torch.corrcoef(rows) - torch.eye(len(rows))
    assert correlation.abs().max() < 0.03
    assert first.mean().item() == pytest.approx(0.5772, abs=0.01)  # Euler's constant
    assert first.var().item() == pytest.approx(math.pi**2 / 6, abs=0.03)


def test_a_stream_depends_on_its_seed_alone():
    alone = GumbelNoise([5], (3, 7), slots=1)
    beside = GumbelNoise([9, 5], (3, 7), slots=4)
    for _ in range(3):
        assert torch.equal(alone.draw()[0], beside.draw()[1])


def test_all_bits_of_a_seed_count():
    low, high = (GumbelNoise([seed], (8,), slots=1).draw() for seed in (5, 5 + 2**40))
    assert not torch.equal(low, high)


def test_top_one_is_greedy():
    logits = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    noise = GumbelNoise([3], (50, 20), slots=1).draw()[0]
    assert torch.equal(gumbel_max(logits, noise, 1.0, 1), logits.argmax(-1))


def test_an_unlucky_zero_in_the_stream_is_no_nan():
    noise = torch.tensor([[-math.inf, 0.0, -math.inf]])
    assert gumbel_max(torch.tensor([[9.0, 1.0, 0.0]]), noise, 1.0, 2).item() == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("guidance", 0.5),
        ("guidance", math.nan),
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("temperature", math.inf),
        ("top_k", -1),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: float):
    with pytest.raises(InputError, match=option):
        SamplingOptions(**{option: value})
