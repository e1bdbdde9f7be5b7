"""Clips heard in pieces of ten seconds, as appendix F.2 of the paper compares them."""

from __future__ import annotations

from pathlib import Path

from music.clips import Clip, read_clip, read_header, write_clip
from music.hashing import sha256_text
from reward.baselines.windowed import PIECE, spans

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
        ``first10`` and ``mean10`` as in `reward.baselines.windowed`; ``full``: the clip itself.
    """
    header = read_header(path)
    if header.samples <= PIECE * header.sample_rate:
        return []
    if window == "full":
        return [path]
    parts = spans(window, header.samples, header.sample_rate)
    names = [
        folder / f"{sha256_text(str(path.absolute()))[:24]}-{number}.flac" for number in range(len(parts))
    ]
    if not all(name.exists() for name in names):
        clip = read_clip(path)
        for name, part in zip(names, parts, strict=True):
            write_clip(name, Clip(clip.waveform[:, part], clip.sample_rate))
    return names
