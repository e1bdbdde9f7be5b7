"""Progress of long work: a bar on a terminal, a plain line now and then in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

from tqdm import tqdm

T = TypeVar("T")
_EVERY = 15.0  # s between lines
_QUIET = 1.0  # s; work that is done sooner has no line
_LINE = "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class _Lines(tqdm):
    """A bar that is written as lines, of which none is overwritten."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._told = time.monotonic()
        super().__init__(*args, **{"bar_format": _LINE, **options})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line, unless there was one lately."""
        if time.monotonic() - self._told >= _EVERY:
            self._write()

    def clear(self, nolock: bool = False) -> None:
        """Leave lines as they are."""

    def close(self) -> None:
        """Write how far it came, if it took some time."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)  # type: ignore[attr-defined]
            if time.time() - self.start_t >= _QUIET:
                self._write()

    def _write(self) -> None:
        self._told = time.monotonic()
        self.fp.write(f"{self}\n".lstrip())
        self.fp.flush()


@overload
def progress(items: Iterable[T], desc: str = "", **options: Any) -> "tqdm[T]": ...


@overload
def progress(items: None = None, desc: str = "", **options: Any) -> "tqdm[Any]": ...


def progress(items: Iterable[Any] | None = None, desc: str = "", **options: Any) -> "tqdm[Any]":
    """Return a bar of `tqdm`, with its options, that goes to stderr as that can show it."""
    kind = tqdm if sys.stderr.isatty() else _Lines
    return kind(items, desc, **options)


@contextmanager
def without_bars_of_transformers() -> Iterator[None]:
    """Keep transformers from drawing bars over weights that it loads or writes, which takes no time."""
    from transformers.utils import logging

    had = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if had:
            logging.enable_progress_bar()
