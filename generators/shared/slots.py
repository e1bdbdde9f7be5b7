"""How many rows a batch is computed with, such that no row depends on its place or its neighbours.

Libraries share the rows of a product out among threads, and the kernel of one share may round otherwise than that of
another. Which numbers of rows are safe depends on processor, library, numeric type and number of threads: on an AMD
EPYC with two threads, float32 products of 5, 6, 7, 9, 10 and 11 rows give a row other bits at another place. So it is
tried here, on the machine at hand, with the kernels that models are made of (some milliseconds, once), and a batch gets
as many rows as have passed.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch.nn.functional import conv1d, linear, scaled_dot_product_attention

from music.errors import InputError

_SHAPES = ((64, 32), (36, 72), (512, 256))  # outputs and inputs
_LENGTH, _HEADS, _WIDTH = 24, 2, 32  # of the attention and the convolution that are tried
_MOST = 64  # rows beyond those asked for that are tried

Kernel = Callable[[torch.Tensor], torch.Tensor]


def slots_of(batch_size: int, device: torch.device, dtype: torch.dtype) -> int:
    """Return the rows to compute for a batch: at least its size, and safe with a second branch of as many as well.

    Parameters
    ----------
    batch_size
        Clips of a batch.
    device, dtype
        Where and in which numbers it is computed.

    Raises
    ------
    InputError
        If no number of rows near the batch size is safe here.
    """
    first = batch_size if batch_size == 1 else batch_size + batch_size % 2
    threads = torch.get_num_threads()
    for slots in range(first, first + _MOST, 2):
        if all(_safe(rows, device, dtype, threads) for rows in (slots, 2 * slots)):
            return slots
    raise InputError(
        f"with {threads} threads in {dtype} on {device.type}, a clip would depend on its place in a batch here: "
        "set OMP_NUM_THREADS=1, or MKL_CBWR=AUTO before Python starts"
    )


def treats_rows_alike(kernel: Kernel, rows: torch.Tensor) -> bool:
    """Return whether each row's result has the same bits at the next place, the last row's at the first.

    Parameters
    ----------
    kernel
        What is computed of each row of a batch, `[rows, ...]` to `[rows, ...]`.
    rows
        Rows to try, all different.
    """
    return torch.equal(kernel(rows.roll(1, 0)), kernel(rows).roll(1, 0))


@lru_cache(maxsize=256)
def _safe(rows: int, device: torch.device, dtype: torch.dtype, threads: int) -> bool:
    random = torch.Generator().manual_seed(rows)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random).to(device, dtype)

    kernels: list[tuple[Kernel, torch.Tensor]] = []
    for outputs, inputs in _SHAPES:
        weight, bias = normal(outputs, inputs), normal(outputs)
        kernels.append((partial(linear, weight=weight), normal(rows, inputs)))
        kernels.append((partial(linear, weight=weight, bias=bias), normal(rows, inputs)))
    taps = normal(_WIDTH, _WIDTH, 3)
    kernels.append((partial(conv1d, weight=taps, padding=1), normal(rows, _WIDTH, _LENGTH)))
    for queries in (1, _LENGTH):
        states = normal(rows, _HEADS, queries + 2 * _LENGTH, _WIDTH)
        kernels.append((partial(_attention, queries=queries), states))
    with torch.inference_mode():
        return all(treats_rows_alike(kernel, given) for kernel, given in kernels)


def _attention(states: torch.Tensor, queries: int) -> torch.Tensor:
    query, key, value = states.split([queries, _LENGTH, _LENGTH], dim=2)
    return scaled_dot_product_attention(query, key, value)
