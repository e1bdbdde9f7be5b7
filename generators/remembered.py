"""Results that are computed once and kept while they are in use."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """A function whose last results are kept: what it depends on besides its argument must stay as it is.

    Parameters
    ----------
    compute
        The function.
    limit
        How many results; beyond it, the one that was not asked for the longest time is forgotten.
    """

    def __init__(self, compute: Callable[[K], V], limit: int = 256) -> None:
        self._compute = compute
        self._limit = limit
        self._results: OrderedDict[K, V] = OrderedDict()

    def __call__(self, key: K) -> V:
        """Return the function of `key`."""
        if key not in self._results:
            self._results[key] = self._compute(key)
            if len(self._results) > self._limit:
                self._results.popitem(last=False)
        self._results.move_to_end(key)
        return self._results[key]


class FileState(NamedTuple):
    """A file by what tells that it changed: something to remember by what was computed of it."""

    path: Path
    size: int
    modified: int  # ns

    @staticmethod
    def of(path: Path | None) -> "FileState | None":
        """Return the state of a file; None for no file."""
        if path is None:
            return None
        status = path.stat()
        return FileState(path, status.st_size, status.st_mtime_ns)
