"""Arrays that take minutes to make, a row a song: made in chunks, so that a kill costs at most one chunk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

CHUNK = 400  # rows in one file


def cached_rows(make: Callable[[int], np.ndarray], count: int, folder: Path, name: str) -> np.ndarray:
    """Return rows 0 to count-1 as one array [count, ...], from `folder` where they were made before."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in tqdm(range(0, count, CHUNK), desc=name, disable=None):
        path = folder / f"{name}_{start:06d}.npy"
        if not path.exists():
            part = path.with_suffix(".part.npy")
            np.save(part, np.stack([make(index) for index in range(start, min(start + CHUNK, count))]))
            part.rename(path)
        parts.append(np.load(path))
    return np.concatenate(parts)
