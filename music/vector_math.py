"""Vector functions of torch, settled before threads share them.

MKL, with which torch computes these on a CPU, chooses the kernel of a function when it is first called. Where several
threads make that first call together, one of them may compute its share with a kernel of low accuracy: a cosine is
then wrong by up to 8e-5, once in a process, and a score that begins with a Hann window by up to 0.07
(https://github.com/pytorch/pytorch/issues/188792; MKL 2024.2, which torch's wheels carry).
"""

import torch

FUNCTIONS = (
    *("acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp"),
    *("log", "log10", "log2", "sin", "sqrt", "tan", "tanh", "trunc"),
)


def settle_vector_math() -> None:
    """Call each function once from one thread, in both of its precisions."""
    for dtype in (torch.float32, torch.float64):
        for name in FUNCTIONS:
            getattr(torch, name)(torch.zeros(1, dtype=dtype))
