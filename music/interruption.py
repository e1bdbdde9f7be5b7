"""Ctrl-C and SIGTERM: a run ends with one line that says how it goes on; a training saves its state first.

Schedulers (Slurm, Kubernetes, torchrun when another process has died) end a run by SIGTERM and kill it half a minute
later, so it gets the same care as Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from music.processes import Processes

_ECHO = 2.0  # s within which torchrun sends on the Ctrl-C that reached all processes already


class Stopped(KeyboardInterrupt):
    """A signal has stopped the run.

    Parameters
    ----------
    number
        Number of the signal.
    state
        What is left and how it goes on, if that is known.
    """

    def __init__(self, number: int, state: str = "") -> None:
        name = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        super().__init__(f"{name}: {state}" if state else name)
        self.number, self.state = number, state


def _raise(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what follows puts things in order
    raise Stopped(number)


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise `Stopped` within the block, as Ctrl-C raises `KeyboardInterrupt`."""
    if threading.current_thread() is not threading.main_thread() or not _is_default(signal.SIGTERM):
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class StopAfterStep:
    """Lets Ctrl-C and SIGTERM end a training after the step in hand; a context manager.

    All processes end after the same step. A second Ctrl-C ends it at once, and so does the end of another process, with
    which no step can be finished.

    Parameters
    ----------
    processes
        Processes that take every step together.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._asked: int | None = None
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopAfterStep:
        """Take over the signals; another than the main thread cannot."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if _is_default(number) or signal.getsignal(number) is _raise:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back; `Stopped` after one in the last step, which leaves nothing to save."""
        for number, before in self._before.items():
            signal.signal(number, before)
        if self._asked is not None and error is None:
            raise Stopped(self._asked)

    def after(self, step: int) -> bool:
        """Return whether to end here, having taken a number of steps; all must ask after each of them."""
        return self._processes.any_at(step, self._asked is not None)

    def stopped(self, step: int, steps: int) -> Stopped:
        """Return what ends the run, whose state after a step is saved."""
        state = f"the state after step {step} of {steps} is saved, and the same command goes on from there"
        return Stopped(signal.SIGTERM if self._asked is None else self._asked, state)

    def _ask(self, number: int, _: FrameType | None) -> None:
        again = self._asked is not None and number == signal.SIGINT
        if self._processes.ended():
            raise KeyboardInterrupt
        if again and time.monotonic() - self._since > _ECHO:
            raise Stopped(number)
        if self._asked is None:
            self._asked, self._since = number, time.monotonic()
            if self._processes.is_main:
                print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)


def _is_default(number: int) -> bool:
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
