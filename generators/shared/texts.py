"""Texts on their way into a model: what is longer than it takes is refused, what was encoded before is remembered."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from music.errors import InputError

NO_LIMIT = 1_000_000  # tokens; tokenizers that know no longest text name a larger number
_LONGEST = 512  # tokens; what T5 was trained on, for tokenizers that do not say


def longest_text(tokenizer: Any) -> int:
    """Return how many tokens a T5 takes."""
    told: int = tokenizer.model_max_length
    return told if 0 < told < NO_LIMIT else _LONGEST


def token_count(tokenizer: Any, text: str) -> int:
    """Return the length of a text in tokens, however long it is."""
    return len(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def check_length(tokenizer: Any, text: str, longest: int, name: str) -> None:
    """`InputError` if a text, called `name` in the message, has more than `longest` tokens."""
    length = token_count(tokenizer, text)
    if length > longest:
        raise InputError(f"{name} has {length} tokens, the model takes at most {longest}")


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """A function whose last results are kept: what it depends on besides its argument must stay as it is.

    Parameters
    ----------
    compute
        The function.
    limit
        Number of results; beyond it, the one that was last asked for longest ago is forgotten.
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
    """A file, and what tells that it changed: a key for what was computed of it."""

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
