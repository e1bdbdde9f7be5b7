"""Starting the processes of a command on this machine: ``music-reward --num_processes 2 best-of-n ...``.

They find in the environment what torchrun would announce. Unlike its launchers, this one ends as a command alone does:
with the line and the exit code of the process that failed, and of no other. Every process has a session of its own, so
that Ctrl-C in a terminal reaches the launcher alone, which hands it on once.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from music.distributed.launched import end_with_parent, is_launched
from music.distributed.relay import Relay, terminal
from music.errors import InputError
from music.interruption import Stopped

OPTION = "--num_processes"
_GLANCE = 0.05  # s from one look at the processes to the next
_PATIENCE = 3.0  # s that the others have for noticing themselves that one has ended
_UNSURE = 60.0  # s that they have where it may have been done: a defect has code 1 too
_GRACE = 30.0  # s that they have after SIGTERM, before they are killed
_DONE = (0, 1)  # codes of an end in order; 1 says that something was left out


def count_of(words: Sequence[str]) -> tuple[int, list[str]]:
    """Split the words of a command line into the number of processes, which comes first if at all, and the rest.

    Raises
    ------
    InputError
        If the number is none, or more than this machine has cores.
    """
    first, _, value = words[0].partition("=") if words else ("", "", "")
    if first != OPTION:
        return 1, list(words)
    given, rest = ([value], words[1:]) if "=" in words[0] else (words[1:2], words[2:])
    most = os.cpu_count() or 1
    count = int(given[0]) if given and re.fullmatch(r"[0-9]{1,6}", given[0]) else 0
    if not 1 <= count <= most:
        got = repr(given[0]) if given else "nothing"
        raise InputError(f"{OPTION} must be from 1 to {most}, the cores of this machine, got {got}")
    return count, list(rest)


def start_again(words: Sequence[str], count: int) -> int:
    """Run this very program in several processes, with other words after its name, and return its exit code.

    Raises
    ------
    InputError
        If a launcher has started this process, or the system starts no more.
    """
    if is_launched():
        raise InputError(
            f"{OPTION} is for a command that no other launcher has started: leave out one of them"
        )
    started_as = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return launch([sys.executable, *started_as, *words], count)


def launch(command: Sequence[str], count: int) -> int:
    """Run a command in several processes of one run, and return its exit code.

    What they print passes through by lines. Where one fails the others are ended; the last line on stderr is the error
    of the first that failed, and the code is its own, 128 and the signal's number if one ended it. SIGINT, SIGTERM and
    SIGHUP are handed on. The end of this process ends them too, where the system is Linux.

    Parameters
    ----------
    command
        Words of the command.
    count
        Number of processes.

    Raises
    ------
    InputError
        If the system starts no more processes; in the end, if something that they printed could not be written.
    """
    workers: list[_Worker] = []
    announced = _announced(count)
    with _noted_signals() as signals:
        try:
            for rank in range(count):
                workers.append(_started(command, rank, announced))
            for worker in workers:  # no thread before the last fork
                worker.read()
            failed = _wait(workers, signals)
        finally:
            for worker in workers:
                worker.kill()
    code = _tell(workers, failed)
    for lost in (relay.lost for worker in workers for relay in worker.relays):
        if lost is not None and not failed:
            raise lost
    return code


def _started(command: Sequence[str], rank: int, announced: Mapping[str, str]) -> _Worker:
    try:
        return _Worker(command, rank, announced)
    except OSError as error:
        raise InputError(f"cannot start process {rank}: {error.strerror}; start fewer") from error


class _Worker:
    """One process of the run."""

    def __init__(self, command: Sequence[str], rank: int, announced: Mapping[str, str]) -> None:
        self.rank = rank
        self.code: int | None = None
        own = {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}"}
        reading, errors = terminal() if rank == 0 and sys.stderr.isatty() else os.pipe()
        self._process = subprocess.Popen(
            command,
            env={**announced, **own},
            stdin=subprocess.DEVNULL,  # they would share its lines
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
        )
        os.close(errors)
        assert self._process.stdout is not None
        self.errors = Relay(reading, sys.stderr, sifts=True)
        self.relays = (Relay(os.dup(self._process.stdout.fileno()), sys.stdout), self.errors)
        self._process.stdout.close()

    def read(self) -> None:
        """Begin to pass on what it prints."""
        for relay in self.relays:
            relay.start()

    def has_ended(self) -> bool:
        """Look whether it has ended, and has all that it printed passed on."""
        self.code = self._process.poll()
        if self.code is not None:
            for relay in self.relays:
                relay.join(1.0)  # what it has started itself may live on, and print
        return self.code is not None

    @property
    def has_failed(self) -> bool:
        """Whether it has ended, and not in order."""
        return self.code is not None and (
            self.code not in _DONE or (self.code == 1 and self.errors.traceback)
        )

    @property
    def message(self) -> str:
        """Why it has failed, as the others may repeat it; empty if a signal has killed it."""
        return "" if (self.code or 0) < 0 else self.errors.message

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, with all that it has started, if it lives."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _wait(workers: Sequence[_Worker], signals: deque[int]) -> list[_Worker]:
    """Wait until all have ended, and return those that have failed by themselves, in order."""
    failed: list[_Worker] = []
    since, stopped, asked = 0.0, False, False
    while alive := [worker for worker in workers if worker.code is None]:
        while signals:
            stopped, number = True, signals.popleft()
            for worker in alive:
                worker.signal(number)
        ended = sorted((worker for worker in alive if worker.has_ended()), key=lambda one: one.code or 0)
        new = [worker for worker in ended if worker.has_failed]
        if new and not asked:  # who has been asked to end has not failed
            since = since or time.monotonic()
            failed += new
        waited = time.monotonic() - since if failed else 0.0
        patience = min((_patience(worker.code or 0) for worker in failed), default=0.0)
        if failed and not (asked or stopped) and waited >= patience:
            asked = True
            for worker in workers:
                worker.signal(signal.SIGTERM)
        if failed and waited > patience + _GRACE:
            for worker in workers:
                worker.kill()
        time.sleep(_GLANCE)
    return failed


def _patience(code: int) -> float:
    """Return how long the others of a process have that has failed with a code, s."""
    if code < 0:
        return 0.0  # it could tell them nothing
    return _UNSURE if code in _DONE else _PATIENCE


def _tell(workers: Sequence[_Worker], failed: Sequence[_Worker]) -> int:
    """Print why the run has ended, and return its exit code."""
    first = failed[0] if failed else None
    for worker in failed:  # one may say what another had died of, and be the sooner to end
        if first and worker.message and worker.message != first.message and worker.message in first.message:
            first = worker
    why = _reason(first) if first else ""
    held = [line for worker in workers for line in worker.errors.held]
    rest = [line for line in held if line != why and not (first and first.message and first.message in line)]
    for line in [*dict.fromkeys(rest), *([why] if why else [])]:
        print(line, file=sys.stderr)
    if first is None:
        return max(worker.code or 0 for worker in workers)
    return first.code if first.code and first.code > 0 else 128 - (first.code or 0)


def _reason(worker: _Worker) -> str:
    """Return the line that says why a process has failed: its own, if it had one."""
    code = worker.code or 0
    if -code in (signal.SIGINT, signal.SIGTERM):  # before it could say so itself
        return str(Stopped(-code, "finished work stays"))
    if code < 0:
        memory = ", perhaps for want of memory" if code == -signal.SIGKILL else ""
        name = signal.Signals(-code).name
        return f"error: process {worker.rank} was ended by {name}{memory}: finished work stays"
    if worker.errors.held:
        return worker.errors.held[-1]
    return f"error: process {worker.rank} ended with code {code}: {worker.errors.last}".rstrip(": ")


def _announced(count: int) -> dict[str, str]:
    """Return the environment of all processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    number = {"WORLD_SIZE": f"{count}", "LOCAL_WORLD_SIZE": f"{count}"}
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or "1"}  # as torchrun does
    at_once = {"PYTHONUNBUFFERED": "1"} if sys.stdout.isatty() else {}
    return {**os.environ, **at_once, **threads, **number, **place}


@contextmanager
def _noted_signals() -> Iterator[deque[int]]:
    """Collect the numbers of signals that would end this process, but for those that it ignores."""
    noted: deque[int] = deque()
    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before: dict[int, Any] = {}
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, lambda got, _: noted.append(got))
    try:
        yield noted
    finally:
        for own, handler in before.items():
            signal.signal(own, handler)
