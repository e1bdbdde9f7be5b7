"""Audio that is less than its header promises, promises nothing, or is no audio that can be decoded."""

import io
import struct

import numpy as np
import pytest
import soundfile

from music.clips import read_clip, read_header
from music.errors import InputError

RATE = 16000
_RNG = np.random.default_rng(0)
SOUND = (0.3 * np.sin(np.arange(3 * RATE) / 7) + 0.02 * _RNG.standard_normal(3 * RATE)).astype(np.float32)
MADE = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_24"),
    "caf": ("CAF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


def encoded(kind: str, sound: np.ndarray = SOUND, rate: int = RATE, **options: object) -> bytes:
    buffer = io.BytesIO()
    container, subtype = MADE[kind]
    soundfile.write(buffer, sound, rate, format=container, subtype=subtype, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", MADE)
def test_whole_files_give_what_the_decoder_gives(tmp_path, kind):
    path = tmp_path / f"whole.{kind}"
    path.write_bytes(encoded(kind))
    with soundfile.SoundFile(path) as file:
        expected = file.read(dtype="float32", always_2d=True)
    assert read_clip(path).waveform.T.numpy().tobytes() == expected.tobytes()
    assert read_header(path).samples == len(expected)
    assert read_clip(path, 0.5).samples == RATE // 2


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("kind", MADE)
def test_a_file_that_was_cut_is_refused_and_says_so(tmp_path, kind, share):
    data = encoded(kind)
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data[: int(len(data) * share)])
    reason = "cut short|malformed" if kind == "caf" else "cut short"
    with pytest.raises(InputError, match=reason) as caught:
        read_clip(path)
    assert path.name in str(caught.value)
    with pytest.raises(InputError, match=reason):
        read_header(path)


def test_a_cut_is_told_in_numbers(tmp_path):
    (tmp_path / "cut.wav").write_bytes(encoded("wav")[:32044])
    with pytest.raises(InputError, match="promises 96000 bytes of sound and holds 32000"):
        read_clip(tmp_path / "cut.wav")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_written_to_a_pipe_promises_nothing(tmp_path, size):
    data = bytearray(encoded("wav"))
    data[40:44] = struct.pack("<I", size)
    data[4:8] = struct.pack("<I", min(size + 36, 0xFFFFFFFF))
    (tmp_path / "piped.wav").write_bytes(data)
    assert read_clip(tmp_path / "piped.wav").samples == len(SOUND)


def test_chunks_before_the_sound_are_passed_over(tmp_path):
    data = encoded("wav")
    with_list = data[:12] + struct.pack("<4sI", b"LIST", 3001) + bytes(3002) + data[12:]
    (tmp_path / "listed.wav").write_bytes(with_list)
    assert read_clip(tmp_path / "listed.wav").samples == len(SOUND)
    (tmp_path / "cut.wav").write_bytes(with_list[:-4000])
    with pytest.raises(InputError, match="cut short"):
        read_clip(tmp_path / "cut.wav")


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    data = bytearray(encoded("flac"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path = tmp_path / "piped.flac"
    path.write_bytes(data)
    (tmp_path / "whole.flac").write_bytes(encoded("flac"))
    assert read_clip(path).waveform.equal(read_clip(tmp_path / "whole.flac").waveform)
    assert read_clip(path, 1.5).samples == 1.5 * RATE
    assert read_header(path).samples == len(SOUND)
    path.write_bytes(data[: len(data) // 2])
    for read in (read_clip, read_header):
        with pytest.raises(InputError, match="cut short or damaged"):
            read(path)


def without_length(data: bytes) -> bytes:
    """Return an MP3 without its first frame, which holds the number of frames."""
    assert b"Xing" in data[:64]
    sync, later = data[:2], data.find(data[:2], 64)
    assert sync == data[later : later + 2]
    return data[later:]


@pytest.mark.parametrize("loud_first", [True, False])
@pytest.mark.parametrize("tag", [b"", b"ID3\x03\0\0\0\0\x27\x08" + bytes(5000)])
def test_an_mp3_that_tells_no_length_is_read_to_its_end(tmp_path, loud_first, tag):
    """Its bitrate changes: an estimate by its first frames would be a fraction, or a multiple, of what is there."""
    sound = _RNG.standard_normal(5 * 44100).astype(np.float32) * 0.2
    sound[44100:] *= 1e-4
    data = without_length(
        encoded("mp3", sound if loud_first else sound[::-1], 44100, bitrate_mode="VARIABLE")
    )
    path = tmp_path / "a.mp3"
    path.write_bytes(tag + data)
    clip = read_clip(path)
    assert 0 <= clip.samples - len(sound) < 3 * 1152
    assert read_header(path).samples == clip.samples
    path.write_bytes(tag + data[:-30])
    assert read_clip(path).samples == clip.samples - 1152  # all frames that are whole
    assert read_clip(path, 1.0).waveform.equal(clip.first(1.0).waveform)


def test_a_length_beyond_all_memory_is_refused(tmp_path):
    data = bytearray(encoded("flac"))
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    (tmp_path / "long.flac").write_bytes(data)
    with pytest.raises(InputError, match=r"long\.flac (is cut short|promises more)|lost sync"):
        read_clip(tmp_path / "long.flac")
    with pytest.raises(InputError, match=r"long\.flac cannot be read: it is cut short or damaged"):
        read_header(tmp_path / "long.flac")  # whose promise would count as hundreds of hours


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.m4a", b"\0\0\0\x20ftypM4A " + bytes(300), r"MPEG-4.*convert it.*ffmpeg -i a\.m4a a\.flac"),
        (
            "a.wma",
            bytes.fromhex("3026B2758E66CF11A6D900AA0062CE6C") + bytes(300),
            "Windows Media.*convert it",
        ),
        ("a.mp3", b"Not Found\n", "text and no audio: 'Not Found'"),
        ("a.flac", b"<html>" + b"x" * 500, r"text and no audio: '<html>x+\.\.\.'"),
        ("b.mp3", b"", "is empty"),
        ("c.mp3", bytes(range(128, 256)) * 4, "cannot be read"),
        (
            "a.RAW",
            encoded("wav"),
            r"a\.RAW cannot be read: a \.raw file tells neither rate nor channels: convert it",
        ),
    ],
)
def test_what_cannot_be_decoded_is_named_with_the_cure(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read_clip(tmp_path / name)
    assert "pipe" not in str(caught.value)
    assert "\n" not in str(caught.value)
