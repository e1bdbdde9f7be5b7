"""What a machine can do at best, measured: arithmetic and reading of memory."""

import time
from collections.abc import Callable

import torch

_REPEATS = 3


def matmul_rate(dtype: torch.dtype, device: torch.device, size: int) -> float:
    """Return the FLOP/s of a product of two square matrices, the best of a few."""
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _best(lambda: one @ other, device)


def read_rate(device: torch.device, size: int) -> float:
    """Return the bytes/s at which `size` bytes are read, the best of a few."""
    numbers = torch.ones(size // 4, device=device)
    return numbers.nbytes / _best(numbers.sum, device)


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of the fastest of a few runs, after one that is not counted."""
    found = []
    for _ in range(_REPEATS + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return min(found[1:])
