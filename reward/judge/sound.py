"""Audio as it is sent to a judge: short, small, in a format that servers know."""

import base64
import io
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import soundfile

from music.clips import read_clip
from music.errors import InputError
from music.sample_rates import check_sample_rate

FORMATS = {"wav": ("WAV", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III"), "flac": ("FLAC", "PCM_16")}


@dataclass(frozen=True)
class Sound:
    """How audio is sent.

    Attributes
    ----------
    format
        One of `FORMATS`.
    sample_rate
        Sample rate, Hz; the audio is mono.
    max_seconds
        Length of the beginning that is sent, s.
    max_bytes
        Largest size of one file, before it is written in base64.
    """

    format: str = "mp3"
    sample_rate: int = 24_000
    max_seconds: float = 30.0
    max_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        """`InputError` for an unknown format, a rate that it cannot hold, or numbers out of range."""
        if self.format not in FORMATS:
            raise InputError(f"audio_format must be one of {', '.join(FORMATS)}, got {self.format!r}")
        for name in ("sample_rate", "max_seconds", "max_bytes"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be above 0 and finite, got {value!r}")
        check_sample_rate(self.sample_rate, *FORMATS[self.format], "sample_rate")

    @lru_cache(maxsize=32)  # noqa: B019 (a pair is asked about twice, one order after the other)
    def encoded(self, path: Path) -> str:
        """Return a file in base64.

        Raises
        ------
        InputError
            If it cannot be read, or is too large.
        """
        clip = read_clip(path, self.max_seconds).mono().resampled(self.sample_rate)
        container, subtype = FORMATS[self.format]
        buffer = io.BytesIO()
        # peaks above 1 would wrap around or clip
        wave = clip.waveform[0] / max(1.0, clip.waveform.abs().max().item())
        soundfile.write(buffer, wave.numpy(), clip.sample_rate, format=container, subtype=subtype)
        data = buffer.getvalue()
        if len(data) > self.max_bytes:
            raise InputError(
                f"{path} takes {len(data)} bytes as {self.format}, above {self.max_bytes} (max_bytes): send less of "
                "it, a lower rate, or mp3; reward.judge takes --max_seconds, --sample_rate, --audio_format, --max_bytes"
            )
        return base64.b64encode(data).decode("ascii")
