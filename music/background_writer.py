"""Adding candidates to a pool in a thread, so that whoever makes them does not wait for encoder and disk."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from music.clips import Clip
from music.pool_writer import PoolWriter
from music.prompts import Prompt

_WAITING = 16  # clips: one batch of the usual size, 170 MB if they are 30 s of stereo


class BackgroundWriter:
    """Adds candidates through a `PoolWriter` in one thread of its own; a context manager.

    Candidates are written one after another in the order of `add`, each as `PoolWriter.add` does it: tokens,
    audio, row. A kill loses those that are not written yet, `waiting` and the one in the hands of `add` at most.
    Leaving the block, also through an error or Ctrl-C, waits until all that were added are written.

    Parameters
    ----------
    writer
        Who writes; it is not closed here.
    waiting
        How many candidates may wait to be written, the one in hand included; `add` waits while there are so
        many.
    """

    def __init__(self, writer: PoolWriter, waiting: int = _WAITING) -> None:
        self._writer = writer
        self._waiting = waiting
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pool-writer")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> "BackgroundWriter":
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits; unless an error is on its way already, raise that of the first failure."""
        self._thread.shutdown(wait=True)
        if error is None:
            while self._pending:
                self._pending.popleft().result()

    def add(
        self, prompt: Prompt, candidate: int, seed: int, clip: Clip, tokens: torch.Tensor | None = None
    ) -> None:
        """Let one candidate be written; neither clip nor tokens may change from here on.

        Raises
        ------
        InputError
            If a candidate added earlier could not be written; see `PoolWriter.add`.
        """
        while self._pending and (len(self._pending) >= self._waiting or self._pending[0].done()):
            self._pending.popleft().result()
        written = self._thread.submit(self._writer.add, prompt, candidate, seed, clip, tokens)
        self._pending.append(written)
