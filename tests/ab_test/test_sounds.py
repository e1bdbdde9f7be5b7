"""Levels, fades and the sounds of the checks."""

import math

import numpy as np
import pytest
import torch

from experiments.ab_test.building.sounds import (
    FORMATS,
    Level,
    amplified,
    common_gains,
    encode,
    huggins_trial,
    level_noise,
    measure,
    outline_of,
    shaped,
    spoilt,
    tags_of,
)
from music.clips import Clip, read_clip
from music.errors import InputError

RATE = 48_000


def sine(frequency, seconds=2.0, phase=0.0, gain=1.0, channels=1, rate=RATE):
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    wave = gain * torch.sin(2 * math.pi * frequency * time + phase)
    return Clip(wave.float().expand(channels, -1).contiguous(), rate)


def test_loudness_is_that_of_the_recommendation():
    """A sine of 997 Hz at full scale in one channel has -3.01 LUFS, in two channels 3.01 more."""
    assert measure(sine(997, gain=0.1)).loudness == pytest.approx(-23.01, abs=0.05)
    assert measure(sine(997, gain=0.1, channels=2)).loudness == pytest.approx(-20.0, abs=0.05)


def test_a_true_peak_lies_between_samples():
    clip = sine(RATE / 4, phase=math.pi / 4)
    assert float(clip.waveform.max()) == pytest.approx(math.sqrt(0.5), abs=1e-4)
    assert measure(clip).peak == pytest.approx(0.0, abs=0.2)


@pytest.mark.parametrize("rate", [8_000, 96_000, 176_400, 192_000])
def test_a_level_is_that_of_the_sound_whatever_the_rate(rate):
    level = measure(sine(997, rate=rate))
    assert level.peak == pytest.approx(0.0, abs=0.1)
    assert level.loudness == pytest.approx(-3.01, abs=0.3)


def test_gains_make_clips_equally_loud_and_keep_peaks_below_the_ceiling():
    levels = [Level(-10.0, -3.0), Level(-30.0, -20.0)]
    assert common_gains(levels, -23, -1) == [-13, 7]
    gains = common_gains([Level(-10.0, -3.0), Level(-30.0, -4.0)], -23, -1)
    assert [level + gain for level, gain in zip((-10, -30), gains, strict=True)] == [-27, -27]
    assert -4 + gains[1] == -1


def test_clips_are_cut_mixed_resampled_and_faded():
    clip = shaped(sine(500, 2.0, rate=16_000), RATE, 2, 1.0)
    assert clip.waveform.shape == (2, RATE)
    assert torch.equal(clip.waveform[0], clip.waveform[1])
    assert clip.waveform[:, [0, -1]].abs().max() == 0
    assert clip.waveform[:, : RATE // 200].abs().max() < 0.6
    assert clip.waveform[:, RATE // 2 : RATE // 2 + 1000].abs().max() > 0.99
    assert shaped(sine(500, channels=2), RATE, 1, 9.0).waveform.shape == (1, 2 * RATE)


def test_silence_and_short_clips_are_refused():
    with pytest.raises(InputError, match=r"quiet\.flac is silent"):
        measure(Clip(torch.zeros(1, RATE), RATE), "quiet.flac")
    with pytest.raises(InputError, match=r"lasts 0\.10 s"):
        measure(sine(500, 0.1))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_files_are_the_clip_and_carry_no_tags(tmp_path, kind, channels):
    clip = amplified(sine(997, 2.0, channels=channels), -20)
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(encode(clip, kind))
    again = read_clip(path)
    assert (again.sample_rate, again.channels, again.samples) == (RATE, channels, clip.samples)
    assert measure(again).loudness == pytest.approx(measure(clip).loudness, abs=0.5)
    assert tags_of(path) == []
    assert encode(clip, kind) == path.read_bytes()  # nothing in it is drawn, counted or a time


def test_a_tag_is_found(tmp_path):
    import mutagen

    for kind in ("flac", "opus"):
        path = tmp_path / f"clip.{kind}"
        path.write_bytes(encode(sine(997), kind))
        file = mutagen.File(path)
        file["comment"] = "top-10"
        file.save()
        assert tags_of(path) == ["comment=top-10"]


def test_an_outline_shows_where_it_is_loud():
    wave = torch.cat([torch.full((1, 100), 0.5), torch.full((1, 100), -0.25), torch.zeros(1, 200)], dim=1)
    assert outline_of(Clip(wave, RATE), 4) == [50, 25, 0, 0]


@pytest.mark.parametrize("right", [0, 1, 2])
def test_only_both_ears_together_hear_the_pitch(right):
    clip = huggins_trial(right, RATE, seed=5)
    assert clip.waveform.shape == (2, 4 * RATE)  # three noises of 1 s, two gaps of 0.5 s
    for place in range(3):
        start = place * 3 * RATE // 2 + RATE // 10
        left, other = (np.fft.rfft(ear[start : start + RATE // 2].numpy()) for ear in clip.waveform)
        frequencies = np.fft.rfftfreq(RATE // 2, 1 / RATE)
        band = (frequencies > 592) & (frequencies < 608)
        around = (frequencies > 300) & (frequencies < 550)
        apart = np.abs(left - other)[band].mean() / np.abs(left)[band].mean()
        assert (apart > 0.5) == (place == right)
        assert np.abs(left - other)[around].mean() / np.abs(left)[around].mean() < 0.2
        for ear in (left, other):  # alone, either ear hears plain noise
            assert 0.4 < np.abs(ear)[band].mean() / np.abs(ear)[around].mean() < 2.5


def test_a_spoilt_clip_is_mostly_noise_and_the_same_every_time():
    clip = sine(440)
    bad = spoilt(clip, 1)
    assert torch.equal(bad.waveform, spoilt(clip, 1).waveform)
    assert not torch.equal(bad.waveform, spoilt(clip, 2).waveform)
    middle = slice(RATE // 2, RATE)
    noise = (bad.waveform - clip.waveform)[:, middle].square().mean()
    assert float(10 * torch.log10(noise / clip.waveform[:, middle].square().mean())) == pytest.approx(
        6, abs=0.3
    )


def test_the_noise_to_set_the_volume_by_falls_like_music():
    clip = level_noise(RATE, 0)
    power = np.abs(np.fft.rfft(clip.waveform[0].numpy())) ** 2
    frequencies = np.fft.rfftfreq(clip.samples, 1 / RATE)
    octaves = [
        power[(frequencies > low) & (frequencies < 2 * low)].mean() for low in (100, 200, 400, 800, 1600)
    ]
    steps = 10 * np.log10(np.array(octaves[1:]) / octaves[:-1])
    assert np.allclose(steps, -3.01, atol=1.0)
