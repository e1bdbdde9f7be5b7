"""Clips: pieces of audio in memory, read from and written to files."""

import io
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from music.audio_containers import StretchedFile, foreign_kind, missing_sound, mp3_tells_length
from music.durable import write_bytes
from music.errors import InputError
from music.library_repairs import settle_vector_math
from music.paths import check_file
from music.resampling import resample
from music.sample_rates import check_sample_rate

settle_vector_math()  # here, as whatever computes on sound imports clips

_RATES = (1_000, 655_350)  # Hz; FLAC ends there, and no music lies below
_UNKNOWN = 2**63 - 1  # samples, as libsndfile says it
_NO_MP3 = "File does not exist or is not a regular file (possibly a pipe?)."  # what libsndfile says of any such file
_WITHOUT_HEADER = ".raw"  # as soundfile takes it, whatever the file holds
_CUT = ("lost sync", "psf_fseek() failed")  # what libsndfile says of a FLAC that ends too early
_BLOCK = 1 << 16  # samples
_MP3_FRAME = 1152  # samples; some encoders count the frame that holds the count


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
        return Clip(resample(self.waveform, self.sample_rate, rate), rate)

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
        infinity. An MP3 or a FLAC that is cut behind `max_seconds` may pass.
    """
    with _opened(path) as file:
        rate = file.samplerate
        wanted = file.frames if max_seconds is None else min(file.frames, round(max_seconds * rate))
        frames = _decoded(file, wanted)
        spared = _MP3_FRAME if file.format == "MP3" else 0
        promised = not isinstance(file, _OfUnknownLength)
    if len(frames) == 0:
        raise InputError(f"audio file {path} holds no audio (zero length)")
    if promised and len(frames) < wanted - spared:
        raise InputError(f"audio file {path} is cut short: {len(frames)} of {wanted} samples could be read")
    if not np.isfinite(frames).all():
        raise InputError(f"audio file {path} holds NaN or infinity")
    return Clip(torch.from_numpy(np.ascontiguousarray(frames.T)), rate)


@dataclass(frozen=True)
class ClipHeader:
    """Facts of the audio in a file.

    Attributes
    ----------
    sample_rate
        Sample rate in Hz.
    channels
        Number of channels.
    samples
        Number of samples a channel.
    floats
        Whether they are stored as floating-point numbers, which may lie beyond [-1, 1].
    """

    sample_rate: int
    channels: int
    samples: int
    floats: bool = False


def read_header(path: str | Path) -> ClipHeader:
    """Return rate, channels and length of an audio file: as its header promises, or by decoding if it does not.

    A promise is the size of the sound in WAV, AIFF, CAF, AU and the like, the number of samples in FLAC, the last page
    of Ogg, and the number of frames in an MP3 (Xing, Info). None is an MP3 without it and a FLAC from a pipe. Of a FLAC
    the last sample is decoded, as nothing else tells that it was cut.

    Raises
    ------
    InputError
        If the file is missing, unreadable, visibly cut short or at an absurd rate.
    """
    with _opened(path) as file:
        samples = file.frames
        if isinstance(file, _OfUnknownLength):
            samples = sum(map(len, file.blocks(samples)))
        elif file.format == "FLAC" and samples:
            _reach_end(file)
        return ClipHeader(file.samplerate, file.channels, samples, file.subtype in ("FLOAT", "DOUBLE"))


class _OfUnknownLength(soundfile.SoundFile):
    """A file whose `frames` are more than it has; it is read to its end."""

    def __init__(self, source: str | StretchedFile) -> None:
        self._source = source
        super().__init__(source)

    def seekable(self) -> bool:
        return False  # or soundfile would seek to where it is after each reading, which fails at the end

    def blocks(self, wanted: int) -> Iterator[np.ndarray]:
        """Yield the first samples, `[samples, channels]`, float32, piece by piece; fewer if there are fewer."""
        done = 0
        while done < wanted:
            block = np.full((min(_BLOCK, wanted - done), self.channels), np.nan, np.float32)
            try:
                block = self.read(len(block), out=block)
            except soundfile.LibsndfileError:  # it says nothing of what it has decoded before
                if isinstance(self._source, str) or not self._source.is_read:
                    raise
                block = block[~np.isnan(block[:, 0])]  # the last frame of an MP3 is not whole
            if len(block) == 0:
                return
            done += len(block)
            yield block


def _reach_end(file: soundfile.SoundFile) -> None:
    """Decode the last sample that is promised; `LibsndfileError` if it is not there."""
    file.seek(file.frames - 1)
    file.read(1)


def _decoded(file: soundfile.SoundFile, wanted: int) -> np.ndarray:
    """Return the first samples, `[samples, channels]`, float32; fewer if there are fewer."""
    if not isinstance(file, _OfUnknownLength):
        return file.read(wanted, dtype="float32", always_2d=True)
    return np.concatenate([np.empty((0, file.channels), np.float32), *file.blocks(wanted)])


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Open an audio file that is not visibly cut short."""
    check_file(path, "audio file")
    if Path(path).suffix.lower() == _WITHOUT_HEADER:
        raise InputError(
            f"audio file {path} cannot be read: a .raw file tells neither rate nor channels: convert it to WAV or FLAC"
        )
    try:
        missing = missing_sound(Path(path))
        with ExitStack() as stack:
            file = stack.enter_context(soundfile.SoundFile(str(path)))
            if not _RATES[0] <= file.samplerate <= _RATES[1]:
                raise InputError(
                    f"audio file {path} has a sample rate of {file.samplerate} Hz, "
                    f"expected {_RATES[0]} to {_RATES[1]}"
                )
            if missing:
                raise InputError(f"audio file {path} is cut short: {missing}")
            if file.frames == _UNKNOWN:
                file = stack.enter_context(_OfUnknownLength(str(path)))
            elif file.format == "MP3" and not mp3_tells_length(Path(path)):
                file = stack.enter_context(_OfUnknownLength(StretchedFile(Path(path))))
            yield file
    except soundfile.LibsndfileError as error:
        raise InputError(f"audio file {path} cannot be read: {_reason(Path(path), error)}") from error
    except OSError as error:
        raise InputError(f"audio file {path} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise InputError(f"audio file {path} promises more samples than memory can hold") from error


def _reason(path: Path, error: soundfile.LibsndfileError) -> str:
    kind = foreign_kind(path)
    if any(sign in error.error_string for sign in _CUT):
        return f"it is cut short or damaged ({error.error_string.removeprefix('Error : ').rstrip('.')})"
    if not kind:
        return error.error_string.replace(_NO_MP3, "no audio was found in it")
    if kind.startswith(("empty", "text")):
        return f"it is {kind}"
    return f"it is {kind}: convert it, for example by 'ffmpeg -i {path.name} {path.stem}.flac'"


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
