"""The sounds of a study: clips as raters hear them, files without a tag, and the sounds that check raters.

Clips are brought to one rate, one length and one loudness below a ceiling. Loudness is that of ITU-R BS.1770-4
(pyloudnorm); the ceiling is for the true peak, that of the signal at four times its rate (annex 2).

The headphone check is that of Milne et al. (2021, "An online headphone screening test based on dichotic pitch"): of
three noises one holds a Huggins pitch, a narrow band whose phase turns once between the ears. It is heard as a faint
tone over headphones, and hardly at all over loudspeakers, where the ears' signals mix.
"""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from music.clips import Clip
from music.errors import InputError

FADE_IN, FADE_OUT = 0.01, 0.05  # s
SHORTEST = 0.5  # s; a block of BS.1770 has 0.4
_OVERSAMPLING = 4
_DENSE = 160_000  # Hz; beyond it twice the rate is dense enough, and four times are more than a clip may have


@dataclass(frozen=True)
class Level:
    """How loud a clip is.

    Attributes
    ----------
    loudness
        Integrated loudness, in LUFS.
    peak
        True peak, in dB of full scale.
    """

    loudness: float
    peak: float


def measure(clip: Clip, name: str = "clip") -> Level:
    """Return the level of a clip, which messages call `name`; `InputError` if it is silent or under `SHORTEST`."""
    import pyloudnorm

    if clip.seconds < SHORTEST:
        raise InputError(f"{name} lasts {clip.seconds:.2f} s: a listening test needs at least {SHORTEST} s")
    loudness = float(pyloudnorm.Meter(clip.sample_rate).integrated_loudness(clip.waveform.T.double().numpy()))
    if not math.isfinite(loudness):
        raise InputError(f"{name} is silent: no gain makes it as loud as the others")
    dense = clip.resampled(clip.sample_rate * (_OVERSAMPLING if clip.sample_rate <= _DENSE else 2))
    peak = max(float(dense.waveform.abs().max()), float(clip.waveform.abs().max()))
    return Level(loudness, 20 * math.log10(peak))


def common_gains(levels: Sequence[Level], target: float, ceiling: float) -> list[float]:
    """Return the gain of each clip in dB after which all are equally loud and no true peak is above the ceiling.

    They are as loud as `target` (LUFS), or, if that would take a peak above the `ceiling` (dB of full scale), all of
    them softer by as much as is needed: a limiter would change what is judged.
    """
    gains = [target - level.loudness for level in levels]
    excess = max(level.peak + gain - ceiling for level, gain in zip(levels, gains, strict=True))
    return [gain - max(0.0, excess) for gain in gains]


def shaped(clip: Clip, sample_rate: int, channels: int, seconds: float) -> Clip:
    """Return the beginning of a clip at a rate, with so many channels, and with faded ends."""
    waveform = clip.resampled(sample_rate).waveform
    if channels == 1:
        waveform = waveform.mean(dim=0, keepdim=True)
    elif waveform.shape[0] == 1:
        waveform = waveform.expand(2, -1)
    return faded(Clip(waveform.contiguous(), sample_rate).first(seconds))


def faded(clip: Clip) -> Clip:
    """Return a clip whose ends rise and fall as a raised cosine."""
    waveform = clip.waveform.clone()
    for seconds, end in ((FADE_IN, False), (FADE_OUT, True)):
        length = min(round(seconds * clip.sample_rate), clip.samples // 2)
        ramp = (1 - torch.cos(torch.linspace(0, math.pi, length))) / 2
        if end:
            waveform[:, clip.samples - length :] *= ramp.flip(0)
        else:
            waveform[:, :length] *= ramp
    return Clip(waveform, clip.sample_rate)


def amplified(clip: Clip, gain: float) -> Clip:
    """Return a clip after a gain in dB."""
    return Clip(clip.waveform * 10 ** (gain / 20), clip.sample_rate)


_OPTIONS: dict[str, dict[str, Any]] = {
    # the least compression has the shortest blocks: Chromium cannot seek to the last three of a file
    "flac": {"format": "FLAC", "subtype": "PCM_16", "compression_level": 0.0},
    "mp3": {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.5},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}
FORMATS = tuple(_OPTIONS)


def encode(clip: Clip, kind: str) -> bytes:
    """Return a clip as the bytes of a file: FLAC of 16 bits, MP3 of a constant 192 kbit/s, or Opus in Ogg."""
    buffer = io.BytesIO()
    soundfile.write(buffer, clip.waveform.clamp(-1, 1).numpy().T, clip.sample_rate, **_OPTIONS[kind])
    return _renumbered(buffer) if kind == "opus" else buffer.getvalue()


def _renumbered(file: io.BytesIO) -> bytes:
    """Return an Ogg file whose stream is number 1: the numbers that encoders draw would tell the order of writing."""
    from mutagen.ogg import OggPage

    file.seek(0)
    pages = []
    while file.tell() < file.getbuffer().nbytes:
        page = OggPage(file)
        page.serial = 1
        pages.append(page.write())
    return b"".join(pages)


def tags_of(path: Path) -> list[str]:
    """Return the tags of a file, ``name=value``; `InputError` if it is in none of these formats."""
    import mutagen

    try:
        found = mutagen.File(path)
    except mutagen.MutagenError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if found is None:
        raise InputError(f"{path} is not an audio file")
    pictures = [f"picture={picture.desc}" for picture in getattr(found, "pictures", [])]
    tags = found.tags.pprint() if found.tags else ""
    return [*pictures, *filter(None, tags.splitlines())]


def outline_of(clip: Clip, parts: int = 160) -> list[int]:
    """Return the largest amplitude of each of equal parts, in percent of full scale."""
    mono = np.abs(clip.waveform.numpy()).max(axis=0)
    edges = np.linspace(0, len(mono), parts + 1).astype(int)
    return [round(100 * float(mono[low:high].max(initial=0.0))) for low, high in itertools.pairwise(edges)]


_PITCH, _WIDTH = 600.0, 0.06  # Hz, and the width of the band in which the phase turns, relative to it
_NOISE, _GAP = 1.0, 0.5  # s
_PASSED = 4_000.0  # Hz, above which the noise of the check is cut off
_SPOILING = 6.0  # dB by which the added noise is louder than the music


def spoilt(clip: Clip, seed: int) -> Clip:
    """Return a clip drowned in noise: whoever listens hears that the other one is better."""
    stream = torch.Generator().manual_seed(seed)
    noise = torch.randn(clip.waveform.shape, generator=stream)
    power = clip.waveform.square().mean().sqrt()
    return faded(Clip(clip.waveform + noise * power * 10 ** (_SPOILING / 20), clip.sample_rate))


def huggins_trial(right: int, sample_rate: int, seed: int) -> Clip:
    """Return three noises in a row, `[2, samples]`; that at place `right` (0 to 2) holds the pitch."""
    stream = torch.Generator().manual_seed(seed)
    size, gap = round(_NOISE * sample_rate), torch.zeros(2, round(_GAP * sample_rate))
    parts: list[torch.Tensor] = []
    for place in range(3):
        noise = _noise(size, sample_rate, stream, pitch=place == right)
        parts += [faded(Clip(noise, sample_rate)).waveform, gap]
    return Clip(torch.cat(parts[:-1], dim=1), sample_rate)


def level_noise(sample_rate: int, seed: int, seconds: float = 5.0) -> Clip:
    """Return noise with the long-term slope of music (-3 dB an octave), to set the volume by, `[2, samples]`."""
    stream = torch.Generator().manual_seed(seed)
    size = round(seconds * sample_rate)
    spectrum = torch.fft.rfft(torch.randn(size, generator=stream))
    frequencies = torch.fft.rfftfreq(size, 1 / sample_rate)
    spectrum *= torch.where(frequencies > 40, frequencies.clamp(min=40).rsqrt(), 0.0)
    wave = torch.fft.irfft(spectrum, n=size)
    return faded(Clip((0.1 * wave / wave.std()).expand(2, -1).contiguous(), sample_rate))


def _noise(size: int, sample_rate: int, stream: torch.Generator, pitch: bool) -> torch.Tensor:
    """Return noise for both ears; with a pitch, the right one's phase turns by 2 pi through a narrow band."""
    spectrum = torch.fft.rfft(torch.randn(size, generator=stream))
    frequencies = torch.fft.rfftfreq(size, 1 / sample_rate)
    spectrum *= frequencies < _PASSED
    low, high = _PITCH * (1 - _WIDTH / 2), _PITCH * (1 + _WIDTH / 2)
    turn = ((frequencies - low) / (high - low)).clamp(0, 1) * 2 * math.pi
    other = spectrum * torch.exp(1j * turn) if pitch else spectrum
    ears = torch.stack([torch.fft.irfft(spectrum, n=size), torch.fft.irfft(other, n=size)])
    return (0.05 * ears / ears.std()).float()
