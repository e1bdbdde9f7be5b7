"""Files of ``torch.save`` that people hand in: read without running code that they may hold, or refused in one line."""

from pathlib import Path
from typing import Any

import torch

from music.errors import InputError
from music.memory import is_out_of_memory


def read_torch_file(path: Path, kind: str) -> Any:
    """Return what a file holds, on the CPU: tensors, numbers and texts, and nothing that could run.

    Parameters
    ----------
    path
        The file.
    kind
        What it should hold, for the message.

    Raises
    ------
    InputError
        If it is missing, damaged or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path} holds no {kind}: {error.strerror}") from error
    except Exception as error:  # a damaged file may raise almost anything
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"{path} holds no {kind}: it is damaged, cut short, or holds more than tensors, which could be harmful"
        ) from error


def read_torch_tensors(path: Path, kind: str, part: str = "") -> dict[str, torch.Tensor]:
    """Return the tensors of a file by their names, or of one part of it, if there is such a part.

    Raises
    ------
    InputError
        If it is missing, damaged or holds anything else.
    """
    found = read_torch_file(path, kind)
    if isinstance(found, dict):
        found = found.get(part, found)
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no {kind}: expected tensors with names, got {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(f"{path} holds no {kind}: {name!r} is no tensor with a name")
    return found
