"""`experiments.lab.prove` measures every part once, and its ear check hears what it says."""

import json

import numpy as np
import pytest

from experiments.lab import prove
from experiments.lab.proof.ear_check import ear_check
from experiments.lab.proof.report import METRICS
from experiments.lab.world.corpus import song

RATE = 16_000
TIME = np.arange(5 * RATE) / RATE


@pytest.mark.slow
def test_every_part_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setattr(prove, "EAR_CLIPS", 2)
    options = prove.Prove(output=tmp_path, songs=6, pairs=1, limit=4, chosen_prompts=3, n=3, workers=2)
    prove.main(options)
    proof = json.loads((tmp_path / "proof.json").read_text())
    assert proof["gold"]["coded"]["musicality"]["clips"] == 6
    assert proof["reward"]["alignment"]["lyrics only"]["pairs"] == 1
    assert proof["reward"]["musicality"]["all conditions"]["pairs"] == 4
    assert (proof["generator"]["clips"], proof["generator"]["prompts"]) == (4, 4)
    assert (proof["best_of_n"]["n_prompts"], proof["best_of_n"]["n"]) == (3, 3)
    assert set(proof["best_of_n"]["captured"]) >= set(METRICS)
    assert set(proof["ear"]) == {"real", "coded", "generated"}
    assert min(proof["minutes"].values()) > 0
    page = (tmp_path / "proof.md").read_text()
    assert page.count("\n## ") == 4
    assert "captured of the possible gain" in page
    assert (tmp_path / "curves.png").stat().st_size > 10_000

    def measured_again(*_):
        raise AssertionError

    for part in ("gold", "reward", "generator", "best_of_n", "ear"):
        monkeypatch.setattr(prove, f"measure_{part}", measured_again)
    prove.main(options)
    assert (tmp_path / "proof.md").read_text() == page


def tone(frequency: float) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * TIME)).astype(np.float32)


def clicks(onsets: np.ndarray) -> np.ndarray:
    wave = np.zeros(len(TIME), np.float32)
    burst = 0.8 * np.exp(-np.arange(800) / 100) * np.random.default_rng(0).standard_normal(800)
    for onset in (onsets * RATE).astype(int):
        wave[onset : onset + 800] += burst[: len(wave) - onset]
    return wave


@pytest.mark.parametrize(
    ("cents", "low", "high"), [(0, 0.97, 1), (10, 0.97, 1), (-10, 0.97, 1), (50, 0, 0.03)]
)
def test_tuning(cents, low, high):
    for semitone in (0, 3, 7, 14):
        assert low <= ear_check(tone(220 * 2 ** ((semitone + cents / 100) / 12)), RATE)["in_tune"] <= high


def test_noise_is_in_tune_by_chance():
    noise = np.random.default_rng(0).standard_normal(len(TIME)).astype(np.float32)
    assert ear_check(noise, RATE)["in_tune"] == pytest.approx(0.4, abs=0.03)


def test_regularity():
    steady = np.arange(0, 4.9, 0.4)
    loose = np.sort(np.random.default_rng(1).uniform(0, 4.9, len(steady)))
    assert ear_check(clicks(steady), RATE)["regularity"] > 0.9
    assert ear_check(clicks(loose), RATE)["regularity"] < 0.5


def test_silence_and_clipping():
    half = tone(440)
    half[: len(half) // 2] = 0
    assert ear_check(half, RATE)["silence"] == pytest.approx(0.5, abs=0.01)
    assert ear_check(tone(440), RATE)["clipping"] < 0.05
    assert ear_check(np.clip(10 * tone(440), -0.8, 0.8).astype(np.float32), RATE)["clipping"] > 0.8


def test_nothing_at_all():
    found = ear_check(np.zeros(8_000, np.float32), RATE)
    assert found == {"in_tune": 0.0, "regularity": 0.0, "silence": 1.0, "clipping": 0.0}


def test_songs_of_the_lab_are_played_in_tune_and_in_time():
    heard = [ear_check(song("validation", "ear check", index).waveform(), RATE) for index in range(12)]
    assert np.mean([one["in_tune"] for one in heard]) > 0.7
    assert np.mean([one["regularity"] for one in heard]) > 0.6
    assert max(one["clipping"] for one in heard) < 0.01
