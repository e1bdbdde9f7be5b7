"""Audio files for browsers that carry nothing but sound: FLAC, MP3 and Opus without a single tag."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from music.clips import Clip
from music.errors import InputError

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
    """Return an Ogg file whose stream is number 1: numbers that are drawn one after the other tell their order."""
    from mutagen.ogg import OggPage

    file.seek(0)
    pages = []
    while file.tell() < file.getbuffer().nbytes:
        page = OggPage(file)
        page.serial = 1
        pages.append(page.write())
    return b"".join(pages)


def tags_of(path: Path) -> list[str]:
    """Return the tags of a file, ``name=value``; `InputError` if it is not one of these formats."""
    import mutagen

    try:
        found = mutagen.File(path)
    except mutagen.MutagenError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if found is None:
        raise InputError(f"{path} is no audio file")
    pictures = [f"picture={picture.desc}" for picture in getattr(found, "pictures", [])]
    tags = found.tags.pprint() if found.tags else ""
    return [*pictures, *filter(None, tags.splitlines())]


def outline_of(clip: Clip, parts: int = 160) -> list[int]:
    """Return the largest amplitude of each of equal parts, in percent of full scale."""
    mono = np.abs(clip.waveform.numpy()).max(axis=0)
    edges = np.linspace(0, len(mono), parts + 1).astype(int)
    return [round(100 * float(mono[low:high].max(initial=0.0))) for low, high in itertools.pairwise(edges)]
