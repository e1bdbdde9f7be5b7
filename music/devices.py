"""Where models run."""

import torch

from music.errors import InputError


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
