"""Batches of one fixed size, so that a job meets the same tensor shapes whatever stands beside it."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

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
