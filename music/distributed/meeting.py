"""What holds the processes of a run together: a store that all of them reach, and one thread in each that watches.

The store is torch's; torchrun opens it, or rank 0. It may outlive an attempt of the run (``torchrun --max-restarts``),
so each attempt has a name of its own, under which all of its keys lie: rank 0 gives it, and counts who is in it.
Whoever has to end says so in the store; whoever says nothing any more is taken for dead by the
process before it. Waiting is asking again and again, so that a signal or the end of another is noticed at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from music.distributed.launched import Launched
from music.errors import InputError, ServiceError

MEETING = 300.0  # s that the processes may take to start
_SILENT = 60.0  # s without a sign of life after which a process is taken for dead
_GLANCE = 0.5  # s from one look at the others to the next
_GRACE = 10.0  # s that a process has for ending in order, before it is ended
_FIRST, _LONGEST = 0.002, 0.2  # s between two questions while waiting


class Meeting:
    """One attempt of the processes of a run to work together.

    Parameters
    ----------
    launched
        What the launcher announced; more than one process.
    seconds
        Time that all may take to come, s.

    Attributes
    ----------
    members
        Names of the processes for messages, by rank.
    store
        Keys and values of this attempt, for all processes.

    Raises
    ------
    InputError
        If some process does not come.
    """

    def __init__(self, launched: Launched, seconds: float | None = None) -> None:
        self._own = launched
        deadline = time.monotonic() + (MEETING if seconds is None else seconds)
        whole = _connect(launched, deadline, launched.hosts_store)
        name, self.members = _gather(whole, launched, deadline)
        self.store: dist.Store = dist.PrefixStore(f"run {name}", whole)
        self._ended: str | None = None
        self._closed = threading.Event()
        self._main = threading.current_thread() is threading.main_thread()
        watched = dist.PrefixStore(f"run {name}", _connect(launched, deadline, False))
        self._watch = threading.Thread(target=self._look, args=(watched,), name="watch", daemon=True)
        self._watch.start()

    def wait(self, *keys: str) -> None:
        """Wait until all keys are in the store.

        Raises
        ------
        ServiceError
            If another process has ended, or leaves without them.
        """
        pause, asked = _FIRST, 0
        while not self._asked(lambda: self.store.check(list(keys))):
            if self._ended is not None:
                raise ServiceError(self._ended)
            asked += 1
            if asked % 8 == 0 and self._asked(lambda: self.store.check(["left"])):
                if self._asked(lambda: self.store.check(list(keys))):
                    return
                left = self.store.get("left").decode()
                raise ServiceError(self.look() or f"{left} has left the run before its end")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    def refuse_ended(self) -> None:
        """`ServiceError` if another process has ended."""
        if self._ended is not None:
            raise ServiceError(self._ended)

    def look(self) -> str | None:
        """Look at once whether another process has ended, and return why; None once this one has left."""
        if self._closed.is_set():
            return None
        with contextlib.suppress(dist.DistError):
            if self._ended is None and self.store.check(["ended"]):
                self._ended = self.store.get("ended").decode()
        return self._ended

    def leave(self, reason: str | None = None) -> None:
        """Leave the others, who wait for this process no longer, or end for the same reason; once is enough."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._watch.join(_GRACE)
        with contextlib.suppress(dist.DistError):  # nobody is left who could be told
            if reason is not None:
                self.store.compare_set("ended", "", f"{self._name()} has ended: {reason}")
            self.store.compare_set("left", "", self._name())
            self.store.set(f"beat {self._own.rank}", "left")
            self.store.set(f"gone {self._own.rank}", "")
            if self._own.hosts_store:  # with this process the store goes
                self._linger(4 * _GLANCE if self._ended or reason else 3 * _GRACE)

    def _linger(self, seconds: float) -> None:
        gone = [f"gone {rank}" for rank in range(len(self.members))]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.store.check(gone):
            time.sleep(_LONGEST)

    def _name(self) -> str:
        return self.members[self._own.rank]

    def _asked(self, question: Callable[[], Any]) -> Any:
        """Return an answer of the store; `ServiceError` if it has gone."""
        try:
            return question()
        except dist.DistError as error:
            raise ServiceError(self._ended or _store_has_gone(error)) from error

    def _look(self, store: dist.Store) -> None:
        """Give signs of life, and look for those of the others."""
        after = (self._own.rank + 1) % len(self.members)
        last, since, beat = "", time.monotonic(), 0
        while not self._closed.wait(_GLANCE):
            try:
                beat += 1
                store.set(f"beat {self._own.rank}", str(beat))
                if store.check([f"beat {after}"]) and (found := store.get(f"beat {after}").decode()) != last:
                    last, since = found, time.monotonic()
                if last != "left" and time.monotonic() - since > _SILENT:
                    silent = f"{self.members[after]} has given no sign of life for {_SILENT:g} s"
                    store.compare_set("ended", "", silent)
                if store.check(["ended"]):
                    self._ended = store.get("ended").decode()
            except dist.DistError as error:
                self._ended = _store_has_gone(error)
            if self._ended is not None:
                self._interrupt()
                return

    def _interrupt(self) -> None:
        """Interrupt what this process does; end it if it waits where nothing can interrupt it."""
        if not self._main or self._closed.is_set():
            return
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN and (main := threading.main_thread().ident):
            signal.pthread_kill(main, signal.SIGINT)
        if not self._closed.wait(_GRACE):
            print(f"error: {self._ended}", file=sys.stderr, flush=True)
            os._exit(2)


def _store_has_gone(error: Exception) -> str:
    return f"the process that holds the run together has gone ({str(error).splitlines()[0]})"


def _connect(launched: Launched, deadline: float, host: bool) -> dist.Store:
    while True:
        try:
            return dist.TCPStore(
                launched.address,
                launched.port,
                is_master=host,
                timeout=timedelta(seconds=min(10.0, max(0.1, deadline - time.monotonic()))),
                wait_for_workers=False,
                multi_tenant=True,  # a process group of torch may open the same place
            )
        except (dist.DistError, ValueError, RuntimeError) as error:
            if host or time.monotonic() > deadline:
                place, reason = f"{launched.address}:{launched.port}", str(error).splitlines()[0]
                raise InputError(
                    f"the environment announces {launched.world_size} processes but they did not meet at {place} "
                    f"({reason}): start with torchrun, and see that every process runs and MASTER_PORT is free"
                ) from error


def _gather(store: dist.Store, launched: Launched, deadline: float) -> tuple[str, list[str]]:
    """Return the name of the attempt, and those of its processes."""
    own = {"token": secrets.token_hex(8), "host": socket.gethostname()}
    missing = list(range(launched.world_size))
    name, begun, pause = "", None, _FIRST
    if launched.rank == 0:
        name = own["token"]
        store.set("attempt", name)
        store.set(f"{name} here 0", json.dumps(own))
    while begun is None:
        if launched.rank == 0:
            missing = [rank for rank in missing if not store.check([f"{name} here {rank}"])]
            if not missing:
                found = [store.get(f"{name} here {rank}").decode() for rank in range(launched.world_size)]
                begun = [json.loads(text) for text in found]
                store.set(f"{name} begun", json.dumps(begun))
        elif store.check(["attempt"]):
            if (current := store.get("attempt").decode()) != name:
                name = current
                store.set(f"{name} here {launched.rank}", json.dumps(own))
            if store.check([f"{name} begun"]):
                begun = json.loads(store.get(f"{name} begun"))
                if begun[launched.rank]["token"] != own["token"]:
                    begun = None  # that was an earlier attempt, whose store is still there
        if begun is None and time.monotonic() > deadline:
            who = ", ".join(map(str, missing)) if launched.rank == 0 else "0 or others"
            raise InputError(
                f"the environment announces {launched.world_size} processes but they did not meet (process {who} did "
                "not come): start with torchrun, and see that every process runs"
            )
        if begun is None:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
    return name, [f"process {rank} on {one['host']}" for rank, one in enumerate(begun)]
