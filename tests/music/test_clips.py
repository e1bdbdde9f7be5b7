"""Clips: exact lengths, honest files, and every kind of unusable audio named."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from music.clips import Clip, read_clip, write_clip
from music.errors import InputError


def tone(rate: int, samples: int, channels: int = 1, height: float = 440.0) -> Clip:
    wave = 0.5 * torch.sin(2 * torch.pi * height * torch.arange(samples) / rate)
    return Clip(wave.float().repeat(channels, 1), rate)


def test_a_file_gives_the_clip_back_to_24_bits(tmp_path):
    clip = tone(16000, 1234, channels=2)
    assert write_clip(tmp_path / "a" / "c.flac", clip) == 1.0
    back = read_clip(tmp_path / "a" / "c.flac")
    assert back.sample_rate == 16000
    assert back.waveform.shape == (2, 1234)
    torch.testing.assert_close(back.waveform, clip.waveform, atol=2**-23, rtol=0)
    assert soundfile.info(tmp_path / "a" / "c.flac").subtype == "PCM_24"


def test_a_peak_above_one_is_scaled_and_does_not_wrap(tmp_path):
    clip = Clip(torch.tensor([[0.0, 2.5, -1.0, 1.7]]), 8000)
    gain = write_clip(tmp_path / "c.flac", clip)
    assert gain == pytest.approx(0.4)
    torch.testing.assert_close(
        read_clip(tmp_path / "c.flac").waveform, clip.waveform * 0.4, atol=2**-22, rtol=0
    )


def test_writing_twice_gives_the_same_bytes_and_no_leftovers(tmp_path):
    write_clip(tmp_path / "a.flac", tone(16000, 999))
    write_clip(tmp_path / "b.flac", tone(16000, 999))
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.flac", "b.flac"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([8000, 16000, 22050, 24000, 44100]), st.integers(4000, 48000))
def test_resampling_has_the_exact_length(samples, old, new):
    assert tone(old, samples).resampled(new).samples == round(samples * new / old)


def test_resampling_keeps_a_tone_and_both_channels():
    clip = tone(44100, 44100, channels=2).resampled(16000)
    expected = tone(16000, 16000, channels=2)
    middle = slice(1000, 15000)
    torch.testing.assert_close(clip.waveform[:, middle], expected.waveform[:, middle], atol=1e-3, rtol=0)


def test_mono_first_and_seconds():
    clip = Clip(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, -1.0]]), 2000)
    assert clip.mono().waveform.tolist() == [[0.5, 0.0, 0.0]]
    assert clip.first(0.001).waveform.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert clip.first(9).samples == 3
    assert clip.seconds == 0.0015


def test_max_seconds_reads_the_beginning(tmp_path):
    write_clip(tmp_path / "c.flac", tone(8000, 8000))
    part = read_clip(tmp_path / "c.flac", max_seconds=0.25)
    assert part.samples == 2000
    torch.testing.assert_close(part.waveform, read_clip(tmp_path / "c.flac").waveform[:, :2000])


def damage(path, kind):
    good = np.zeros(4000, dtype=np.float32)
    if kind == "missing":
        return
    if kind == "text":
        path.write_text("no audio at all")
    elif kind == "no bytes":
        path.write_bytes(b"")
    elif kind == "no samples":
        soundfile.write(path, good[:0], 8000)
    elif kind == "nan":
        good[7] = np.nan
        soundfile.write(path, good, 8000, subtype="FLOAT")
    elif kind == "infinity":
        good[7] = np.inf
        soundfile.write(path, good, 8000, subtype="FLOAT")
    elif kind == "rate":
        soundfile.write(path, good, 5)
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("text", "cannot be read"),
        ("no bytes", "cannot be read"),
        ("no samples", "zero length"),
        ("nan", "NaN"),
        ("infinity", "infinity"),
        ("rate", "sample rate of 5 Hz"),
    ],
)
def test_unusable_audio_is_named(tmp_path, kind, message):
    path = tmp_path / "bad.wav"
    damage(path, kind)
    with pytest.raises(InputError, match=message) as caught:
        read_clip(path)
    assert "bad.wav" in str(caught.value)


def test_a_flac_cut_in_the_middle_is_an_error(tmp_path):
    generator = torch.Generator().manual_seed(0)
    write_clip(tmp_path / "c.flac", Clip(torch.rand(1, 40000, generator=generator) - 0.5, 8000))
    data = (tmp_path / "c.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.flac"):
        read_clip(tmp_path / "cut.flac")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_clip_that_is_not_finite_is_not_written(tmp_path, value):
    with pytest.raises(InputError, match="NaN or infinity"):
        write_clip(tmp_path / "c.flac", Clip(torch.full((1, 5), value), 8000))
    with pytest.raises(InputError, match="zero length"):
        write_clip(tmp_path / "c.flac", Clip(torch.zeros(1, 0), 8000))
    assert list(tmp_path.iterdir()) == []


def test_a_waveform_of_the_wrong_kind_is_refused():
    with pytest.raises(ValueError, match="channels, samples"):
        Clip(torch.zeros(5), 8000)
    with pytest.raises(ValueError, match="float32"):
        Clip(torch.zeros(1, 5, dtype=torch.float64), 8000)
    with pytest.raises(ValueError, match="sample rate"):
        Clip(torch.zeros(1, 5), 0)
