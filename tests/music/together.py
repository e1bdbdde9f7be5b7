"""Processes of one run, each in a thread of its own, over a real store."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from music.processes import Processes


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def announced(rank: int, count: int, port: int, **more: str) -> dict[str, str]:
    """Return the environment in which a launcher announces a process."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {"RANK": str(rank), "WORLD_SIZE": str(count), **place, **more}


def together(
    count: int, work: Callable[[Processes], Any], port: int | None = None, seconds: float = 30, **more: str
) -> list[Any]:
    """Return what each process returns, or the exception that ends it."""
    port = port or free_port()

    def one(rank: int) -> Any:
        try:
            processes = Processes(announced(rank, count, port, **more), seconds)
        except Exception as error:
            return error
        try:
            with processes:
                return work(processes)
        except (Exception, KeyboardInterrupt) as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))
