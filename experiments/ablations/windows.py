"""Clips heard in pieces of ten seconds, as appendix F.2 of the paper compares them."""

from __future__ import annotations

from pathlib import Path

from music.clips import Clip, read_clip, read_header, write_clip
from music.hashing import sha256_text

SECONDS = 10.0
WINDOWS = ("first10", "mean10", "full")


def in_windows(path: Path, folder: Path, window: str) -> list[Path]:
    """Return the files in which a clip is heard; none for a clip that is no longer than a window.

    Parameters
    ----------
    path
        The clip.
    folder
        For the pieces.
    window
        ``first10``: its beginning; ``mean10``: all pieces of ten seconds, of which the last may be shorter (one of less
        than a second is left out); ``full``: the clip itself.
    """
    header = read_header(path)
    size = int(SECONDS * header.sample_rate)
    if header.samples <= size:
        return []
    if window == "full":
        return [path]
    starts = range(0, header.samples - header.sample_rate, size)
    names = [
        folder / f"{sha256_text(str(path.absolute()))[:24]}-{number}.flac" for number in range(len(starts))
    ]
    if not all(name.exists() for name in names):
        clip = read_clip(path)
        for name, start in zip(names, starts, strict=True):
            write_clip(name, Clip(clip.waveform[:, start : start + size], clip.sample_rate))
    return names[:1] if window == "first10" else names
