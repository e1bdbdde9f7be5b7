"""Where models run and in which numbers: devices, numeric types, and the cores of a CPU.

Within one pass of a small model the cores wait for each other after every operation; between passes they need not, so
`on_cores` gives every core an item of its own.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any, TypeVar

import torch

from music.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def find_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is the GPU if there is one.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name} cannot be used here ({reason}); try auto or cpu") from error
    return device


def find_dtype(name: str) -> torch.dtype:
    """Return the numeric type of that name: `InputError` unless it is float32 or bfloat16."""
    if name not in _DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(_DTYPES)}, got {name!r}")
    return _DTYPES[name]


@contextmanager
def exact_float32() -> Iterator[None]:
    """Let GPUs compute float32 as such inside the block, by kernels that are always the same, and not in TF32.

    It rules whatever the environment says (``TORCH_ALLOW_TF32_CUBLAS_OVERRIDE``), and for all threads.
    """
    products = torch.backends.cuda.matmul
    given = products.allow_tf32
    products.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        products.allow_tf32 = given


def autocasting(device: torch.device, dtype: str) -> AbstractContextManager[Any]:
    """Return a context in which products are computed in bfloat16 if that is the numeric type's name.

    Where models run for their shapes alone (`music.shapes`) there is none, and they count as in float32.
    """
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16")


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """Let torch compute with so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_cores(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    cores: int,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Result]:
    """Return what a function makes of each item, in order, without gradients.

    Parameters
    ----------
    function
        Work on one item.
    items
        The items.
    cores
        Number of items that are worked on at once, each with its share of so many threads.
    meanwhile
        Work of the calling thread, which otherwise waits for the others; it comes first where there are none.
    """
    at_once = min(cores, len(items))
    if at_once < 2:
        meanwhile()
        with torch.no_grad():
            return [function(item) for item in items]

    def work(item: Item) -> Result:
        with torch.no_grad():  # holds for one thread alone
            return function(item)

    results = _threads(os.getpid(), at_once, cores // at_once).map(work, items)
    meanwhile()
    return list(results)


@lru_cache(maxsize=4)
def _threads(process: int, count: int, share: int) -> ThreadPoolExecutor:
    """Return workers of this process (a fork has none of its parent's), each of which computes on `share` threads."""
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(share,))
