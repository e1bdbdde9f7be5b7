"""Recognising that memory has run out, which every library says in its own way."""

import errno

_SAYINGS = (  # of torch, by device, which raises a RuntimeError
    "out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory, of the machine or of an accelerator, did not suffice."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in _SAYINGS)
    return said or isinstance(error, MemoryError)
