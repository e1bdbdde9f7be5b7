"""What is looked at beside the reward: diversity, distance to real clips, and meters."""

import numpy as np
import pytest
import torch

from music.clips import Clip
from rlhf.assessment.diversity import distance_within, kernel_audio_distance, vendi_score
from rlhf.assessment.indicators import indicators

RATE = 16_000


def tone(hertz, seconds=2.0, level=0.5):
    times = torch.arange(round(RATE * seconds)) / RATE
    return Clip(level * torch.sin(2 * torch.pi * hertz * times)[None], RATE)


def noise(seconds=2.0, seed=0):
    return Clip(
        0.1 * torch.randn(1, round(RATE * seconds), generator=torch.Generator().manual_seed(seed)), RATE
    )


def test_the_vendi_score_counts_different_clips():
    apart = np.eye(5)
    assert vendi_score(apart) == pytest.approx(5.0)
    assert vendi_score(np.repeat(apart, 7, axis=0)) == pytest.approx(5.0)
    assert vendi_score(np.ones((9, 4))) == pytest.approx(1.0)
    assert vendi_score(3.0 * apart) == pytest.approx(5.0)  # of directions, not of lengths
    many = np.random.default_rng(0).normal(size=(40, 6))
    gram = many / np.linalg.norm(many, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(gram @ gram.T / 40)
    values = values[values > 1e-12]
    assert vendi_score(many) == pytest.approx(np.exp(-(values * np.log(values)).sum()))


def test_the_distance_within_a_prompt_is_that_of_two_of_its_clips():
    rows = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    assert distance_within([rows, rows[::2]]) == pytest.approx([2 / 3, 0.0])


def test_clips_of_one_distribution_are_near_and_of_another_far():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 4))
    same = [kernel_audio_distance(rng.normal(size=(200, 4)), real) for _ in range(10)]
    assert abs(np.mean(same)) < 1.0
    assert min(same) < 0  # unbiased
    far = [kernel_audio_distance(rng.normal(size=(200, 4)) + shift, real) for shift in (0.3, 1.0, 3.0)]
    assert 3.0 < far[0] < far[1] < far[2]


def test_meters_read_what_is_known():
    found = indicators(tone(440.0))
    assert found["level"] == pytest.approx(-9.03, abs=0.01)
    assert found["true_peak"] == pytest.approx(-6.02, abs=0.1)
    assert found["silence"] == 0.0
    assert found["flatness"] < 0.01
    assert indicators(noise())["flatness"] == pytest.approx(
        0.56, abs=0.04
    )  # white noise: exp(-Euler's constant)
    between = tone(RATE / 4)  # a phase whose samples miss the peak
    times = torch.arange(RATE) / RATE
    missed = Clip(torch.sin(2 * torch.pi * RATE / 4 * times + torch.pi / 4)[None], RATE)
    assert missed.waveform.abs().max() < 0.72
    assert indicators(missed)["true_peak"] == pytest.approx(0.0, abs=0.2)
    assert indicators(between)["repetition"] <= 1.0


def test_a_loop_repeats_and_noise_does_not():
    once = noise(0.512)  # 16 frames
    loop = Clip(once.waveform.repeat(1, 6), RATE)
    assert indicators(loop)["repetition"] > 0.99
    assert indicators(noise(3.0))["repetition"] < 0.3


def test_silence_and_very_short_clips_have_numbers_too():
    for clip in (Clip(torch.zeros(1, RATE), RATE), Clip(torch.full((2, 10), 0.1), RATE)):
        assert all(np.isfinite(value) for value in indicators(clip).values())
    assert indicators(Clip(torch.zeros(1, RATE), RATE))["silence"] == 1.0
