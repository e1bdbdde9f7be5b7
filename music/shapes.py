"""Running models for their shapes alone: arithmetic, traffic and memory of what they do, without a weight or a number.

Within `Shapes` a model of torch's `meta` device runs as it would on a GPU, operation by operation, and computes
nothing: each operation is counted by the shapes that it meets. Nothing here knows a model, so that what is counted
cannot drift from what runs.

- Arithmetic is that of products and convolutions by torch's own formulas (`torch.utils.flop_counter`), a multiplication
  and an addition being 2 FLOP; attention is 4 * queries * keys * width, LSTMs are the products in them.
- Traffic is what each operation reads and writes, once; views are free, and a table gives only the rows taken from it.
- Memory is that of tensors that are alive at once. Attention keeps no scores, as its fused kernels do not.

What a program asks of a tensor that has no values (`bool(x.isfinite().all())`) is answered with 1, or with 0 of whole
numbers that were made as zeros; single whole numbers, in which modules keep sizes, stay on the CPU with their values.
"""

import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

T = TypeVar("T")
META = torch.device("meta")
WEIGHTLESS = "no weights"  # in place of the hash of weights
with META:
    torch.zeros(
        0
    )  # torch lists here what a device rules; transformers replaces some of it while it loads a model
_aten = torch.ops.aten
_LOOKUPS = {_aten.embedding, _aten.index, _aten.index_select, _aten.gather}
_EMPTY = {_aten.empty, _aten.new_empty, _aten.empty_like, _aten.empty_strided, _aten.new_empty_strided}
_ASKS = {_aten._local_scalar_dense, _aten.item, _aten.is_nonzero}
_running: ContextVar[bool] = ContextVar("running for shapes", default=False)


@dataclass(frozen=True)
class Cost:
    """What some work costs.

    Attributes
    ----------
    flop
        Multiplications and additions of products and convolutions.
    traffic
        Bytes that operations read and write.
    operations
        Number of operations.
    """

    flop: float = 0.0
    traffic: float = 0.0
    operations: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        """Return the cost of both."""
        return Cost(self.flop + other.flop, self.traffic + other.traffic, self.operations + other.operations)

    def __sub__(self, other: "Cost") -> "Cost":
        """Return the cost without that of a part."""
        return self + other * -1

    def __mul__(self, times: float) -> "Cost":
        """Return the cost of doing it so many times."""
        return Cost(self.flop * times, self.traffic * times, self.operations * times)


class Shapes:
    """A context in which models of the `meta` device run for their shapes.

    Attributes
    ----------
    cost
        Cost of all that ran within it.
    alive
        Bytes of the tensors that were made within it and are still alive.
    peak
        The most that there were at once.
    """

    def __init__(self) -> None:
        self.cost = Cost()
        self.alive = self.peak = 0
        self.zeros: set[int] = set()  # tensors of integers that are known to be zero
        self._known: set[int] = set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count within this block; a later block goes on with the tensors of earlier ones."""
        token = _running.set(True)
        try:
            with torch.no_grad(), warnings.catch_warnings(), _Fused(self), _Operations(self):
                warnings.simplefilter("ignore")  # of values, which there are none of
                yield
        finally:
            _running.reset(token)

    def measure(self, work: Callable[[], T]) -> tuple[T, Cost, int]:
        """Run some work for its shapes.

        Returns
        -------
        tuple
            What the work returns, its cost, and the bytes that were alive at once while it ran.
        """
        before, self.peak = self.cost, self.alive
        with self.running():
            result = work()
        return result, self.cost - before, self.peak

    def count(self, flop: float, traffic: float) -> None:
        """Count one operation."""
        self.cost += Cost(flop, traffic, 1)

    def hold(self, tensor: torch.Tensor) -> None:
        """Count the memory of a tensor until it is freed."""
        if tensor.device != META:
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.alive += size
            self.peak = max(self.peak, self.alive)
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.zeros.discard(key)
        self.alive -= size


def for_shapes() -> bool:
    """Return whether models are loaded and run for their shapes here: then they need no weights."""
    return _running.get()


@contextmanager
def without_weights() -> Iterator[None]:
    """Let modules that are built in this block have no weights."""
    with META:
        yield


class _Fused(TorchFunctionMode):
    """Counts what is one operation on a GPU, but would be taken apart without values."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self._shapes = shapes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention" and _on_meta(args, kwargs):
            return self._attention(*args, **kwargs)
        if name == "lstm" and _on_meta(args, kwargs):
            return self._lstm(*args, **kwargs)
        if name == "tensor" and args and type(args[0]) is int:
            kwargs = {**kwargs, "device": "cpu"}  # a size that a module keeps
        if name == "to_sparse" and _on_meta(args, kwargs):
            return args[0]
        if name == "tolist" and _on_meta(args, kwargs):
            return [_one(args[0].dtype)] * args[0].numel()
        return func(*args, **kwargs)

    def _attention(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        *_: Any,
        **__: Any,
    ) -> torch.Tensor:
        found = query.new_empty(*query.shape[:-1], value.shape[-1])
        pairs = math.prod(query.shape[:-1]) * key.shape[-2]
        read = (query, key, value, found, *([] if attn_mask is None else [attn_mask]))
        self._shapes.count(2 * pairs * (query.shape[-1] + value.shape[-1]), sum(map(_bytes, read)))
        return found

    def _lstm(
        self,
        states: torch.Tensor,
        hidden: tuple[torch.Tensor, torch.Tensor],
        weights: list[torch.Tensor],
        has_biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[torch.Tensor, ...]:
        products = [weight for weight in weights if weight.ndim == 2]
        steps = states.shape[0] * states.shape[1]
        width = hidden[0].shape[-1] * (2 if bidirectional else 1)
        found = states.new_empty(*states.shape[:2], width)
        # a step reads the weights of all layers again
        moments = states.shape[1 if batch_first else 0]
        read = moments * sum(map(_bytes, weights)) + layers * (_bytes(states) + _bytes(found))
        self._shapes.count(2.0 * steps * sum(weight.numel() for weight in products), read)
        return found, torch.empty_like(hidden[0]), torch.empty_like(hidden[1])


class _Operations(TorchDispatchMode):
    """Counts the operations that torch's kernels would run."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self._shapes = shapes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not any(tensor.device == META for tensor in given):
            if packet is _aten._to_copy and _is_size(given[0]):
                kwargs = {**kwargs, "device": given[0].device}
            found = func(*args, **kwargs)
            self._hold(found)
            if packet is _aten.zeros and found.device == META and not found.is_floating_point():
                self._shapes.zeros.add(_key(found))
            return found
        if packet in _ASKS:
            if _key(given[0]) in self._shapes.zeros:
                return 0
            return packet is _aten.is_nonzero or _one(given[0].dtype)
        if packet is _aten.equal:
            return True
        if packet is _aten.bincount:
            return given[0].new_empty(1, dtype=torch.long)
        if packet is _aten._to_copy and kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": META, "pin_memory": False}  # where values would leave the device
        if packet not in flop_registry:
            with self:  # what is made of other operations, which torch shows whole in inference mode
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        found = func(*args, **kwargs)
        self._count(func, packet, args, kwargs, given, found)
        self._hold(found)
        if func._schema.is_mutable:
            self._shapes.zeros.discard(_key(given[0]))
        elif packet is _aten.max and _key(given[0]) in self._shapes.zeros and isinstance(found, torch.Tensor):
            self._shapes.zeros.add(_key(found))
        return found

    def _count(
        self, func: Any, packet: Any, args: Any, kwargs: Any, given: list[torch.Tensor], found: Any
    ) -> None:
        made = [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]
        if packet in _EMPTY:
            return
        shared = {tensor.untyped_storage()._cdata for tensor in given}
        if not func._schema.is_mutable and all(one.untyped_storage()._cdata in shared for one in made):
            return  # a view
        flop = flop_registry[packet](*args, **kwargs, out_val=found) if packet in flop_registry else 0
        read = made if packet in _LOOKUPS else given
        self._shapes.count(flop, sum(map(_bytes, read)) + sum(map(_bytes, made)))

    def _hold(self, found: Any) -> None:
        for leaf in tree_leaves(found):
            if isinstance(leaf, torch.Tensor):
                self._shapes.hold(leaf)


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _is_size(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is a single whole number, which modules keep sizes in: its value is needed."""
    return tensor.ndim == 0 and not tensor.is_floating_point() and tensor.dtype != torch.bool


def _on_meta(args: Any, kwargs: Any) -> bool:
    return any(isinstance(leaf, torch.Tensor) and leaf.device == META for leaf in tree_leaves((args, kwargs)))


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _one(dtype: torch.dtype) -> bool | int | float:
    if dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1
