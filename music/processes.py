"""One process or several: who am I, which part is mine, wait for the others.

`torchrun` and `accelerate launch` (on GPUs) start several processes and announce them in the environment.
Work is split by `Processes.claim`, or by `Processes.shard` where all of it takes equally long, and meets again at
`Processes.barrier`; results travel through files, so the group needs nothing but gloo, also on GPUs.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from music.errors import InputError

T = TypeVar("T")
_MEETING = timedelta(minutes=5)  # how long the processes may take to start
_WORKING = timedelta(days=30)  # how long one may wait for a slower one at a barrier


class SharedCount:
    """A number that all processes of a run share, from 0; made by `Processes.count`."""

    def __init__(self, store: dist.Store, name: str) -> None:
        self._store = store
        self._name = name

    def add(self, amount: int) -> int:
        """Add to the number and return the sum; no two processes that add get the same one."""
        return self._store.add(self._name, amount)


class Processes:
    """The processes of this run.

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

    Raises
    ------
    InputError
        If fewer processes run than the environment announces.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.rank, self.world_size, local_rank = _announced(
            os.environ if environment is None else environment
        )
        self._group: Any = None
        self._counts = 0
        self._store: dist.Store = dist.HashStore()
        if self.world_size > 1:
            self._group = _meet(self.rank, self.world_size)
            self._store = self._group.get_group_store()
            if torch.cuda.is_available():
                torch.cuda.set_device(
                    local_rank % torch.cuda.device_count()
                )  # so that "cuda" means one's own

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
        return SharedCount(self._store, f"count {self._counts}")

    @staticmethod
    def _claimed(units: Sequence[T], taken: SharedCount) -> Iterator[T]:
        while (index := taken.add(1) - 1) < len(units):
            yield units[index]

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self._group is not None:
            dist.barrier(group=self._group)

    def close(self) -> None:
        """Leave the group (silences a warning at exit); harmless with one process or when called twice."""
        if self._group is not None and dist.is_initialized():
            dist.destroy_process_group()
        self._group = None


def _announced(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Return (rank, world size, local rank) as the launcher announced them."""
    if "WORLD_SIZE" not in environment:
        # `accelerate launch --num_processes 2` on CPU sets the meeting place, then starts one process only.
        if "ACCELERATE_MIXED_PRECISION" in environment and "MASTER_PORT" in environment:
            raise InputError(
                "accelerate launch was asked for several processes but started one (it does so on CPU): "
                "use `torchrun --nproc-per-node 2 -- SCRIPT ...`, or --num_processes 1"
            )
        return 0, 1, 0
    try:
        world_size = int(environment["WORLD_SIZE"])
        rank = int(environment["RANK"]) if world_size > 1 else 0
        local_rank = int(environment.get("LOCAL_RANK", "0"))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"WORLD_SIZE is set but RANK or WORLD_SIZE is unusable ({error}): start with torchrun"
        ) from error
    if not 0 <= rank < world_size:
        raise InputError(f"RANK={rank} does not fit WORLD_SIZE={world_size}: start with torchrun")
    return rank, world_size, local_rank


def _meet(rank: int, world_size: int) -> Any:
    if not dist.is_initialized():
        try:
            dist.init_process_group("gloo", rank=rank, world_size=world_size, timeout=_MEETING)
        except (dist.DistError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"the environment announces {world_size} processes but they did not meet ({reason}): "
                "start with torchrun, and see that every process runs"
            ) from error
    if dist.get_world_size() != world_size:
        raise InputError(f"the environment announces {world_size} processes, {dist.get_world_size()} run")
    return dist.new_group(backend="gloo", timeout=_WORKING)
