"""A bounded memory of tensors: the least recently used go first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch


class TensorCache:
    """Values of an expensive function, at most so many bytes of them.

    Parameters
    ----------
    max_bytes
        Limit over all tensors; a single larger value is still returned, but not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self._bytes = max_bytes, 0
        self._values: OrderedDict[Hashable, tuple[torch.Tensor, ...]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
        """Return the value of `key`, calling `make` if it is not remembered."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        self.put(key, value)
        return value

    def put(self, key: Hashable, value: tuple[torch.Tensor, ...]) -> None:
        """Remember a value, forgetting the oldest ones if there is no room."""
        if key in self._values:
            self._bytes -= _size(self._values.pop(key))
        if _size(value) > self.max_bytes:
            return
        self._values[key] = value
        self._bytes += _size(value)
        while self._bytes > self.max_bytes:
            self._bytes -= _size(self._values.popitem(last=False)[1])

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)


def _size(value: tuple[torch.Tensor, ...]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in value)
