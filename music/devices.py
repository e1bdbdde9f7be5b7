"""Where models run, and in which numbers."""

import torch

from music.errors import InputError

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
