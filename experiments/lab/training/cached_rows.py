"""Arrays that take minutes to make, a row for each song: made in chunks, so that a kill costs at most one chunk."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from experiments.running import spread
from music.durable import write_bytes

CHUNK = 400  # rows in one file


def cached_rows(
    make: Callable[[int], np.ndarray],
    count: int,
    folder: Path,
    name: str,
    workers: int = 1,
    chunk: int = CHUNK,
) -> np.ndarray:
    """Return rows 0 to count-1 as one array [count, ...], from `folder` where they were made before.

    Parameters
    ----------
    make
        Makes a row; it must be picklable if there are several workers.
    workers
        Number of processes that make rows.
    chunk
        Rows in one file; always the same for one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [range(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    paths = [folder / f"{name}_{part.start:06d}.npy" for part in parts]
    missing = [row for row in zip(paths, parts, strict=True) if not row[0].exists()]
    spread(partial(_write, make), missing, workers, name)
    return np.concatenate([np.load(path) for path in paths])


def _write(make: Callable[[int], np.ndarray], wanted: tuple[Path, range]) -> None:
    path, indices = wanted
    buffer = io.BytesIO()
    np.save(buffer, np.stack([make(index) for index in indices]))
    write_bytes(path, buffer.getvalue())
