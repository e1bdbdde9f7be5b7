"""Threads decode audio while the model works on what came before."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def read_ahead(read: Callable[[In], Out], items: Iterable[In], workers: int, ahead: int) -> Iterator[Out]:
    """Yield `read(item)` for each item, in order.

    Parameters
    ----------
    read
        Work of the threads; what it raises is raised where its result is due.
    items
        Items, in the order of their results.
    workers
        Number of threads; with 0 each item is read when it is due.
    ahead
        Number of results that may wait, for they take memory.
    """
    if workers == 0:
        yield from map(read, items)
        return
    source = iter(items)
    waiting: deque[Future[Out]] = deque()
    threads = ThreadPoolExecutor(workers)
    try:
        for item in source:
            waiting.append(threads.submit(read, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Nothing is waited for: whoever drops this half-way may be the garbage collector, in the middle of the start of
        # another thread, which holds the lock that joining a thread needs.
        threads.shutdown(wait=False, cancel_futures=True)
