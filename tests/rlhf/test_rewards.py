"""Rewards for training: guarded against loudness and silence, and measured for what a generator could exploit."""

import math
from types import SimpleNamespace

import pytest
import torch

from generators.protocol import Job, Sample
from music.clips import Clip, write_clip
from music.prompts import Prompt
from reward import RewardWeights, ScoreRequest, load_scorer
from reward.plug_ins import PlugIn
from reward.scoring.level import level_of
from rlhf.guarded_reward import REWARD, ClipReward, Guarded, silent_share
from rlhf.robustness import CHANGES, ROBUSTNESS, robustness, write_robustness

PROMPT = Prompt("p", "text")
LOUDNESS = load_scorer("loudness")


def noise(level, seconds=1.0, seed=0):
    wave = torch.randn(1, round(16_000 * seconds), generator=torch.Generator().manual_seed(seed))
    return Clip(wave * 10 ** ((level - level_of(wave)) / 20), 16_000)


def loudness_of(scorer, clip):
    return scorer.score([ScoreRequest(clip, PROMPT)])[0]["loudness"]


def test_a_level_earns_nothing():
    guarded = Guarded(LOUDNESS, level=-20.0, silence_cost=0.0)
    assert loudness_of(guarded, noise(-3.0)) == pytest.approx(-20.0, abs=1e-4)
    assert loudness_of(guarded, noise(-33.0)) == pytest.approx(-20.0, abs=1e-4)
    left = Guarded(LOUDNESS, level=None, silence_cost=0.0)
    assert loudness_of(left, noise(-3.0)) == pytest.approx(-3.0, abs=1e-4)
    assert loudness_of(guarded, Clip(torch.zeros(1, 16_000), 16_000)) == -120.0  # nothing is made of nothing


def test_silence_costs_in_proportion():
    half = noise(-10.0)
    half = Clip(torch.cat([half.waveform, torch.zeros_like(half.waveform)], dim=1), 16_000)
    assert silent_share(half) == 0.5
    assert silent_share(noise(-59.0)) == 0.0
    assert silent_share(noise(-70.0, seconds=0.01)) == 1.0
    constant = Guarded(load_scorer("constant"), silence_cost=3.0)
    found = constant.score([ScoreRequest(half, PROMPT), ScoreRequest(noise(-10.0), PROMPT)])
    assert [one["constant"] for one in found] == [-1.5, 0.0]


def test_files_and_clips_are_judged_alike_by_scorers_of_either(tmp_path):
    clip = noise(-12.0)
    write_clip(tmp_path / "a.flac", clip)
    files_only = SimpleNamespace(
        name="files",
        metrics=("loudness",),
        hash="0" * 64,
        score=lambda requests: LOUDNESS.score(
            [ScoreRequest(one.audio.absolute(), PROMPT) for one in requests]
        ),
    )
    for scorer in (LOUDNESS, PlugIn(files_only)):
        guarded = Guarded(scorer)
        found = guarded.score([ScoreRequest(audio, PROMPT) for audio in (clip, tmp_path / "a.flac")])
        assert found[0]["loudness"] == pytest.approx(found[1]["loudness"], abs=1e-3)


def test_its_hash_and_name_are_its_own():
    found = {Guarded(LOUDNESS).hash, Guarded(LOUDNESS, level=-18.0).hash, Guarded(LOUDNESS, None).hash}
    assert len(found | {Guarded(LOUDNESS, silence_cost=2.0).hash, LOUDNESS.hash}) == 5
    assert Guarded(LOUDNESS).name == "guarded-loudness"


def samples(count=12):
    clips = [noise(-20.0 - place, seed=100 + place) for place in range(count)]
    return [Sample(Job(Prompt(f"p{place}", "x"), 0, 0), clip, None) for place, clip in enumerate(clips)]


def test_a_reward_of_loudness_moves_by_the_gain_and_a_guarded_one_does_not(tmp_path):
    plain = ClipReward(LOUDNESS, RewardWeights({"loudness": 1.0}))
    assert plain(samples())[0][REWARD] == pytest.approx(-20.0, abs=1e-4)
    shifts = {shift.change: shift for shift in robustness(plain, samples())}
    assert shifts.keys() == CHANGES.keys()
    assert shifts["+6 dB"].mean.value == pytest.approx(6.0, abs=1e-4)
    assert shifts["-6 dB"].size == pytest.approx(6.0, abs=1e-4)
    assert shifts["noise at -40 dB"].mean.value == pytest.approx(10 * math.log10(1 + 1e-4), abs=1e-3)
    assert shifts["last tenth cut"].spread == pytest.approx(3.6, abs=0.1)
    guarded = robustness(ClipReward(Guarded(LOUDNESS), RewardWeights({"loudness": 1.0})), samples())
    assert all(shift.size < 1e-4 for shift in guarded)
    write_robustness(tmp_path, list(shifts.values()), 12)
    told = (tmp_path / ROBUSTNESS).read_text()
    assert "| +6 dB | +6.000" in told
    assert "12 clips" in told


def test_a_standardised_reward_moves_on_the_scale_of_the_clips():
    reward = ClipReward(LOUDNESS, RewardWeights({"loudness": 2.0}, standardise=True))
    shifts = {shift.change: shift for shift in robustness(reward, samples())}
    deviation = math.sqrt((12**2 - 1) / 12)  # of levels 1 dB apart
    assert shifts["+6 dB"].mean.value == pytest.approx(2 * 6 / deviation, abs=1e-3)
    assert shifts["+6 dB"].spread == pytest.approx(2 * math.sqrt(12 / 11), abs=1e-3)
