"""One process or several: who am I, which part is mine, wait for the others.

`music-reward --num_processes`, `torchrun` and `accelerate launch` (on GPUs) start several processes and announce them
in the environment.
Work is split by `Processes.claim`, or by `Processes.shard` where all of it takes equally long, and meets again at
`Processes.barrier`; results travel through files. `Processes.agree` ends all processes where one was started with other
inputs than the rest; one that has to end ends the others (`music.distributed.meeting`).
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from music.distributed.launched import launched
from music.distributed.meeting import Meeting
from music.durable import TEMPORARY, make_folder, writing
from music.errors import InputError, ServiceError
from music.hashing import sha256_text
from music.interruption import Stopped

T = TypeVar("T")
#: what a collective operation says whose peer is gone
_BROKEN = re.compile(r"gloo|nccl|closed by peer|reset by peer|broken pipe|socket", re.IGNORECASE)
_SAYS_SO = 3.0  # s that a process may take to say that it has ended
_SHOWN = 60  # letters of a number, list or the like in a message


class SharedCount:
    """A number that all processes of a run share, from 0; made by `Processes.count`."""

    def __init__(self, store: dist.Store, name: str) -> None:
        self._store = store
        self._name = name

    def add(self, amount: int) -> int:
        """Add to the number and return the sum; no two processes that add get the same one."""
        return self._store.add(self._name, amount)


class Processes:
    """The processes of this run; a context manager, out of which an error of one ends the others too.

    Attributes
    ----------
    rank : int
        Index of this process, from 0.
    world_size : int
        Number of processes.
    is_main : bool
        Whether this is rank 0, which alone prints, merges and reports.

    Parameters
    ----------
    environment
        Environment in which the launcher announced itself; that of this process by default.
    seconds
        Time that all processes may take to come, s; five minutes by default.

    Raises
    ------
    InputError
        If fewer processes run than the environment announces.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, seconds: float | None = None) -> None:
        found = launched(os.environ if environment is None else environment)
        self.rank, self.world_size, self._local_rank = found.rank, found.world_size, found.local_rank
        self._counts = 0
        self._meeting: Meeting | None = None
        self.store: dist.Store = dist.HashStore()
        if self.world_size > 1:
            self._meeting = Meeting(found, seconds)
            self.store = self._meeting.store
            _MEETINGS.append(self._meeting)
            atexit.register(self.close)
            if torch.cuda.is_available():  # so that "cuda" means one's own
                torch.cuda.set_device(self._local_rank % torch.cuda.device_count())

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def shard(self, items: Sequence[T]) -> list[T]:
        """Return the items of this process: every `world_size`-th, from its rank."""
        return list(items[self.rank :: self.world_size])

    def claim(self, units: Sequence[T]) -> Iterator[T]:
        """Yield units of work that no other process takes: whoever is free takes the next.

        So no process is idle for longer than the last unit of another takes, however fast they are. Every process
        must call it, with the same units in the same order.
        """
        return self._claimed(units, self.count())

    def count(self) -> SharedCount:
        """Return a new number that all processes share; every process must call it, as often as the others."""
        self._counts += 1
        return SharedCount(self.store, f"count {self._counts}")

    def _claimed(self, units: Sequence[T], taken: SharedCount) -> Iterator[T]:
        while (index := taken.add(1) - 1) < len(units):
            yield units[index]
            if self._meeting is not None:
                self._meeting.refuse_ended()

    def barrier(self) -> None:
        """Wait until every process is here; `ServiceError` if one has ended."""
        if self._meeting is not None:
            name = self._next("barrier")
            if self.store.add(name, 1) == self.world_size:
                self.store.set(f"{name} done", "")
            self._meeting.wait(f"{name} done")

    def any_at(self, step: int, asked: bool) -> bool:
        """Return whether some process has asked to end, the same in all of them.

        Every process must call it after each step, and none may begin a step before all have begun the one before: so
        what one asks after a step holds for all after the next.
        """
        if self._meeting is None:
            return asked
        if asked:
            self.store.compare_set("last step", "", str(step + 1))
        self._meeting.refuse_ended()
        return self.store.check(["last step"]) and int(self.store.get("last step")) <= step

    def agree(self, facts: Mapping[str, Any], folder: Path | None = None) -> None:
        """Compare what must be the same in every process, which all must call; it is a barrier too.

        Parameters
        ----------
        facts
            What decides the work, by names for messages; JSON, paths allowed.
        folder
            Folder for the results, which must be one and the same for all; it is made.

        Raises
        ------
        InputError
            In every process, if one differs; the message names it, and what differs.
        """
        if self._meeting is None:
            return
        if folder is not None:
            facts = {**facts, "folder for the results": self._seen(folder)}
        name = self._next("facts")
        self.store.set(
            f"{name} {self.rank}", json.dumps({key: _digest(value) for key, value in facts.items()})
        )
        if self.is_main:
            keys = [f"{name} {rank}" for rank in range(self.world_size)]
            self._meeting.wait(*keys)
            found = [json.loads(self.store.get(key)) for key in keys]
            self.store.set(f"{name} verdict", json.dumps(_difference(found, self._meeting.members)))
        self._meeting.wait(f"{name} verdict")
        if differing := json.loads(self.store.get(f"{name} verdict")):
            self._leave(None)  # all know why
            what, (member, value), (first, usual) = differing
            raise InputError(
                f"{member} has another {what}{value} than {first}{usual}: start all processes with the same options, "
                "files and versions"
            )

    def _seen(self, folder: Path) -> str:
        """Return which folder this process sees under a path: that of rank 0, or its own."""
        assert self._meeting is not None
        name = self._next("folder")
        own = f"{folder.absolute()} of {self._meeting.members[self.rank].partition(' on ')[2]}"
        if self.is_main:
            make_folder(folder)
            marker = folder / f"{TEMPORARY}0-{sha256_text(os.urandom(16).hex())[:16]}"
            with writing(folder):
                marker.touch()
            self.store.set(name, json.dumps([marker.name, own]))
        self._meeting.wait(name)
        marker_name, of_main = json.loads(self.store.get(name))
        seen = (folder / marker_name).exists()
        self.barrier()
        if self.is_main:
            marker.unlink(missing_ok=True)
        return of_main if seen else own

    def open_group(self, backend: str) -> None:
        """Open torch's process group for these processes, in their own store, unless one is open."""
        if self._meeting is not None and not dist.is_initialized():
            store = dist.PrefixStore("torch", self.store)
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world_size)

    def close(self) -> None:
        """Leave the others; harmless with one process or when called twice."""
        self._leave(None)

    def __enter__(self) -> Processes:
        """Return the processes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the others, and tell them of an error, which ends them; `ServiceError` where one of them had ended."""
        if isinstance(error, KeyboardInterrupt) and not isinstance(error, Stopped):
            error = Stopped(signal.SIGINT)
        elsewhere = self._ended_elsewhere(error) if error is not None else None
        self._leave(None if error is None else _one_line(error))
        same = isinstance(error, Stopped) and f"has ended: {Stopped(error.number)}" in (elsewhere or "")
        if elsewhere is not None and not same and not isinstance(error, InputError | ServiceError):
            raise ServiceError(elsewhere) from error

    def ended(self) -> str | None:
        """Return why another process has ended, which ends this one; None if none has."""
        return self._meeting.look() if self._meeting is not None else None

    def _ended_elsewhere(self, error: BaseException) -> str | None:
        """Return why another process has ended, where an error may come of it.

        One that is killed says nothing; an error of what all do together then tells the others.
        """
        broken = self._meeting is not None and isinstance(error, Exception)
        broken = broken and bool(isinstance(error, dist.DistError) or _BROKEN.search(str(error)))
        deadline = time.monotonic() + (_SAYS_SO if broken else 0)
        try:
            while (found := self.ended()) is None and time.monotonic() < deadline:
                time.sleep(0.1)
        except KeyboardInterrupt:  # torchrun ends what is left of a run
            found = None
        lost = f"another process of this run has died: what it printed last says why ({_one_line(error)[:160]}...)"
        return found or (lost if broken else None)

    def _leave(self, reason: str | None) -> None:
        if self._meeting is not None:
            self._meeting.leave(reason)
            if dist.is_initialized():  # silences a warning at exit
                dist.destroy_process_group()
        self._meeting = None

    def _next(self, kind: str) -> str:
        self._counts += 1
        return f"{kind} {self._counts}"


_MEETINGS: list[Meeting] = []  # of this process, those that it has left included


def end_others(reason: str) -> None:
    """Tell the other processes of this run, if there are any, why this one does not come to meet them."""
    if not _MEETINGS and launched(os.environ).world_size > 1:
        with contextlib.suppress(InputError):
            Processes(seconds=60)._leave(reason)


def _one_line(error: BaseException) -> str:
    """Return what an error says; its kind too where that is not all that people need."""
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, InputError | ServiceError | Stopped) else f"{type(error).__name__}: {text}"
    )


def _digest(value: Any) -> list[str]:
    """Return the hash of a value, and how it is shown; what is long is not."""
    text = json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, str | Path):
        return [sha256_text(text), f" ({value})"]
    return [sha256_text(text), f" ({text})" if len(text) <= _SHOWN else ""]


def _difference(found: Sequence[Mapping[str, Sequence[str]]], members: Sequence[str]) -> list[Any]:
    """Return what a process has that is not that of the first, each with its value; empty if all have the same."""
    first = found[0]
    for member, facts in zip(members[1:], found[1:], strict=True):
        for name in [*first, *facts]:
            here, there = first.get(name, ("", " (none)")), facts.get(name, ("", " (none)"))
            if here[0] != there[0]:
                return [name, [member, there[1]], [members[0], here[1]]]
    return []
