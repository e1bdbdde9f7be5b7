"""Batches of one fixed size, so that a job meets the same tensor shapes whatever stands beside it."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from music.errors import InputError

T = TypeVar("T")


def plan_batches(items: Sequence[T], kind: Callable[[T], Hashable], size: int) -> list[list[T]]:
    """Split items into batches of `size`, each of one kind; the last batch of a kind may be shorter.

    Order is kept within a kind, and a batch stands where its last item fell.

    Parameters
    ----------
    items
        To be split.
    kind
        What the items of one batch must share.
    size
        Of a batch, at least 1.
    """
    batches: list[list[T]] = []
    open_batches: dict[Hashable, list[T]] = {}
    for item in items:
        batch = open_batches.setdefault(kind(item), [])
        batch.append(item)
        if len(batch) == size:
            batches.append(open_batches.pop(kind(item)))
    return batches + list(open_batches.values())


def check_batch_size(batch_size: int) -> None:
    """`InputError` unless a batch holds something."""
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")


def slots_of(batch_size: int) -> int:
    """Return the rows to compute: an even number, or one.

    With an odd number, several threads may share out a bfloat16 product such that rows are not treated alike.
    """
    return batch_size if batch_size == 1 else batch_size + batch_size % 2
