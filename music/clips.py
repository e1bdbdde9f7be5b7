"""Clips: pieces of audio in memory, read from and written to files."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from music.durable import write_bytes
from music.errors import InputError
from music.library_repairs import settle_vector_math
from music.paths import check_file
from music.sample_rates import check_sample_rate

settle_vector_math()  # here, as whatever computes on sound imports clips

_RATES = (1_000, 655_350)  # Hz; FLAC ends there, and no music lies below


@dataclass(frozen=True, eq=False)
class Clip:
    """A piece of audio.

    Attributes
    ----------
    waveform
        `[channels, samples]`, torch.float32, in [-1, 1] by convention.
    sample_rate
        Sample rate in Hz.
    """

    waveform: torch.Tensor
    sample_rate: int

    def __post_init__(self) -> None:
        """Check type and shape: `ValueError` for a waveform that is not `[channels, samples]` in float32."""
        if self.waveform.ndim != 2 or self.waveform.dtype != torch.float32:
            shape, kind = tuple(self.waveform.shape), self.waveform.dtype
            raise ValueError(f"a waveform is [channels, samples] in torch.float32, got {shape} in {kind}")
        if not _RATES[0] <= self.sample_rate <= _RATES[1]:
            raise ValueError(f"sample rate must lie in {_RATES} Hz, got {self.sample_rate}")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.waveform.shape[0]

    @property
    def samples(self) -> int:
        """Number of samples a channel."""
        return self.waveform.shape[1]

    @property
    def seconds(self) -> float:
        """Length in s."""
        return self.samples / self.sample_rate

    def mono(self) -> "Clip":
        """Return the mean of the channels as a clip of one channel."""
        return self if self.channels == 1 else Clip(self.waveform.mean(dim=0, keepdim=True), self.sample_rate)

    def resampled(self, rate: int) -> "Clip":
        """Return the clip at another rate (Hz): soxr HQ, exactly round(samples * rate / old rate) samples."""
        if rate == self.sample_rate:
            return self
        import soxr

        target = round(self.samples * rate / self.sample_rate)
        frames = soxr.resample(
            self.waveform.T.contiguous().cpu().numpy(), self.sample_rate, rate, quality="HQ"
        )
        waveform = torch.from_numpy(
            np.ascontiguousarray(frames.reshape(-1, self.channels).T, dtype=np.float32)
        )
        waveform = torch.nn.functional.pad(waveform[:, :target], (0, max(0, target - waveform.shape[1])))
        return Clip(waveform, rate)

    def first(self, seconds: float) -> "Clip":
        """Return the first round(seconds * sample_rate) samples, or all if there are fewer."""
        return Clip(self.waveform[:, : round(seconds * self.sample_rate)], self.sample_rate)


def read_clip(path: str | Path, max_seconds: float | None = None) -> Clip:
    """Read an audio file (WAV, FLAC, MP3, OGG ...).

    Parameters
    ----------
    path
        The file.
    max_seconds
        Read only so much of its beginning.

    Raises
    ------
    InputError
        If the file is missing, unreadable, cut short, of zero length, at an absurd rate, or holds NaN or
        infinity.
    """
    with _opened(path) as file:
        rate, announced, kind = file.samplerate, file.frames, file.format
        wanted = announced if max_seconds is None else min(announced, round(max_seconds * rate))
        frames = file.read(wanted, dtype="float32", always_2d=True)
    if len(frames) == 0:
        raise InputError(f"audio file {path} holds no audio (zero length)")
    if len(frames) < wanted and kind != "MP3":  # MP3 headers may only estimate the length
        raise InputError(f"audio file {path} is cut short: {len(frames)} of {wanted} samples could be read")
    if not np.isfinite(frames).all():
        raise InputError(f"audio file {path} holds NaN or infinity")
    return Clip(torch.from_numpy(np.ascontiguousarray(frames.T)), rate)


@dataclass(frozen=True)
class ClipHeader:
    """What an audio file announces.

    Attributes
    ----------
    sample_rate
        Sample rate in Hz.
    channels
        Number of channels.
    samples
        Number of samples a channel; an MP3 may only estimate it.
    """

    sample_rate: int
    channels: int
    samples: int


def read_header(path: str | Path) -> ClipHeader:
    """Return what an audio file announces, without reading the audio.

    Raises
    ------
    InputError
        If the file is missing, unreadable or at an absurd rate.
    """
    with _opened(path) as file:
        return ClipHeader(file.samplerate, file.channels, file.frames)


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    check_file(path, "audio file")
    try:
        with soundfile.SoundFile(str(path)) as file:
            if not _RATES[0] <= file.samplerate <= _RATES[1]:
                raise InputError(
                    f"audio file {path} has a sample rate of {file.samplerate} Hz, "
                    f"expected {_RATES[0]} to {_RATES[1]}"
                )
            yield file
    except soundfile.LibsndfileError as error:
        raise InputError(f"audio file {path} cannot be read: {error.error_string}") from error


def write_clip(path: str | Path, clip: Clip, owner: int = 0) -> float:
    """Write a clip as 24-bit FLAC, atomically and durably.

    Parameters
    ----------
    path
        Path of the file, usually ``*.flac``; its folder is created.
    clip
        The audio.
    owner
        Rank of the writing process, for the temporary name.

    Returns
    -------
    float
        The gain that was applied: 1.0, or 1 / peak for a clip whose peak is above 1.

    Raises
    ------
    InputError
        If the clip is empty or not finite, or the file cannot be written.
    """
    data, gain = encode_flac(clip, f"clip for {path}")
    write_bytes(Path(path), data, owner)
    return gain


def encode_flac(clip: Clip, name: str = "clip", subtype: str = "PCM_24") -> tuple[bytes, float]:
    """Return a clip as the bytes of a FLAC file, and the gain as in `write_clip`; `name` is for messages."""
    frames = clip.waveform.detach().cpu().numpy()
    if frames.size == 0:
        raise InputError(f"{name} holds no audio (zero length)")
    peak = float(np.abs(frames).max())
    if not math.isfinite(peak):
        raise InputError(f"{name} holds NaN or infinity")
    gain = 1.0 if peak <= 1.0 else 1.0 / peak
    if gain != 1.0:
        frames = np.clip(frames * np.float32(gain), -1.0, 1.0)
    check_sample_rate(clip.sample_rate, "FLAC", subtype, f"the sample rate of the {name}")
    buffer = io.BytesIO()  # in memory, so that a full disk is an OSError with a reason
    soundfile.write(buffer, frames.T, clip.sample_rate, format="FLAC", subtype=subtype)
    return buffer.getvalue(), gain
