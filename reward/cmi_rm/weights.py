"""Weights: read from files, filled into modules strictly, and hashed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from music.errors import InputError
from music.shapes import WEIGHTLESS, for_shapes

# buffers that a config determines; whether files hold them depends on the library version that wrote them
_DERIVED = ("position_ids", "token_type_ids", "inv_freq")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file; `InputError` if it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or 'no such file'}") from error
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and values; derived buffers do not take part."""
    if for_shapes():
        return WEIGHTLESS
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if not name.endswith(_DERIVED)):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_strictly(module: nn.Module, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Fill a module; `InputError` names keys that are missing, unexpected or of another shape."""
    known = module.state_dict()
    # Files from other library versions write weight normalisation under its older names; torch renames on
    # loading. Some modules still have the older names themselves.
    renamed = {key if key in known else _modern(key): value for key, value in weights.items()}
    missing = sorted(key for key in known.keys() - renamed.keys() if not key.endswith(_DERIVED))
    extra = sorted(key for key in renamed.keys() - known.keys() if not key.endswith(_DERIVED))
    if missing or extra:
        parts = [
            f"{word} {_some(keys)}" for word, keys in (("lacks", missing), ("has unexpected", extra)) if keys
        ]
        raise InputError(f"the checkpoint does not fit {name}: it {' and '.join(parts)}")
    shapes = [key for key in known if key in renamed and known[key].shape != renamed[key].shape]
    if shapes:
        key = shapes[0]
        wanted, came = list(known[key].shape), list(renamed[key].shape)
        raise InputError(f"the checkpoint does not fit {name}: {key} is {came}, the config asks for {wanted}")
    module.load_state_dict({key: renamed.get(key, value) for key, value in known.items()})


def _modern(key: str) -> str:
    stem, _, last = key.rpartition(".")
    number = {"weight_g": 0, "weight_v": 1}.get(last)
    return key if number is None else f"{stem}.parametrizations.weight.original{number}"


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
