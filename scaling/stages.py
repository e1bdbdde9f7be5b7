"""How long each stage of a job took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Wall time by stage.

    Attributes
    ----------
    seconds : dict of str to float
        In the order of the stages, s.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Time the block; one that raises is not recorded."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)

    def __str__(self) -> str:
        """Return all stages on one line."""
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
