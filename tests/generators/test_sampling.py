"""Noise of a candidate from its own stream, codes drawn with it as by multinomial sampling, options out of range."""

import math

import pytest
import torch

from generators.diffusion.sampling import DiffusionOptions, GaussianNoise
from generators.musicgen.sampling import GumbelNoise, SamplingOptions, gumbel_max
from generators.shared.noise import CandidateNoise
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


@pytest.mark.parametrize(
    ("kind", "mean", "variance", "typical"),
    [
        (GumbelNoise, 0.5772, math.pi**2 / 6, 0.8686),  # Euler's constant
        (GaussianNoise, 0.0, 1.0, 0.9750),
    ],
)
def test_draws_of_different_rows_and_steps_are_independent(
    kind: type[CandidateNoise], mean: float, variance: float, typical: float
):
    noise = kind([1, 2], (4, 30_000), slots=2)
    first, second = noise.draw().clone(), noise.draw().clone()
    rows = torch.cat([first.flatten(0, 1), second.flatten(0, 1)])
    correlation = torch.corrcoef(rows) - torch.eye(len(rows))
    assert correlation.abs().max() < 0.03
    assert rows.mean().item() == pytest.approx(mean, abs=0.01)
    assert rows.var().item() == pytest.approx(variance, rel=0.01)
    assert (rows < 1.96).float().mean().item() == pytest.approx(typical, abs=0.005)


@pytest.mark.parametrize("kind", [GumbelNoise, GaussianNoise])
def test_a_stream_depends_on_all_bits_of_its_seed_and_on_nothing_else(kind: type[CandidateNoise]):
    alone = kind([5], (3, 7), slots=1)
    beside = kind([9, 5, 5 + 2**40], (3, 7), slots=4)
    for _ in range(3):
        found = beside.draw()
        assert torch.equal(alone.draw()[0], found[1])
        assert not torch.equal(found[1], found[2])
        assert not found[3].any()


def test_top_one_is_greedy():
    logits = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    noise = GumbelNoise([3], (50, 20), slots=1).draw()[0]
    assert torch.equal(gumbel_max(logits, noise, 1.0, 1), logits.argmax(-1))


def test_an_unlucky_zero_in_the_stream_is_no_nan():
    noise = torch.tensor([[-math.inf, 0.0, -math.inf]])
    assert gumbel_max(torch.tensor([[9.0, 1.0, 0.0]]), noise, 1.0, 2).item() == 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SamplingOptions, {"guidance": 0.5}, "guidance must be at least 1"),
        (SamplingOptions, {"guidance": math.nan}, "guidance must be at least 1"),
        (SamplingOptions, {"temperature": 0.0}, "temperature must be above 0"),
        (SamplingOptions, {"temperature": -1.0}, "temperature must be above 0"),
        (SamplingOptions, {"temperature": math.inf}, "temperature must be above 0"),
        (SamplingOptions, {"top_k": -1}, "top_k must be at least 0"),
        (DiffusionOptions, {"steps": 1}, "steps must be at least 2"),
        (DiffusionOptions, {"guidance": 0.5}, "guidance must be at least 1"),
        (DiffusionOptions, {"guidance": math.nan}, "guidance must be at least 1"),
        (DiffusionOptions, {"guidance": 1.0, "negative_prompt": "noise"}, "has no effect without guidance"),
    ],
)
def test_options_out_of_range_are_refused(kind: type, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        kind(**options)
