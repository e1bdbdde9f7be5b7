"""Generators by name: shipped and published models, folders and hub ids.

A new model of a known kind needs one line in `NAMES`, or none; a new kind of model one line in `BACKENDS`.
"""

import importlib
import inspect
from pathlib import Path
from typing import Any

from generators.protocol import Generator
from music.errors import InputError

# backend: the function that loads a model with it
BACKENDS = {
    "transformers": "generators.musicgen:load_musicgen",
    "diffusers": "generators.stable_audio:load_stable_audio",
}
_DEFAULT_BACKEND = "transformers"
# file in a folder: the backend that runs what the folder holds, unless another is asked for
_MARKS = {"model_index.json": "diffusers"}

# name: (backend, where the model lies: "asset:..." ships with the project, "hub:..." is downloaded)
NAMES = {
    "lab-musicgen": ("transformers", "asset:lab/musicgen"),
    "facebook/musicgen-small": ("transformers", "hub:facebook/musicgen-small"),
    "facebook/musicgen-medium": ("transformers", "hub:facebook/musicgen-medium"),
    "facebook/musicgen-large": ("transformers", "hub:facebook/musicgen-large"),
    "facebook/musicgen-stereo-small": ("transformers", "hub:facebook/musicgen-stereo-small"),
    "facebook/musicgen-stereo-medium": ("transformers", "hub:facebook/musicgen-stereo-medium"),
    "facebook/musicgen-stereo-large": ("transformers", "hub:facebook/musicgen-stereo-large"),
    "stabilityai/stable-audio-open-1.0": ("diffusers", "hub:stabilityai/stable-audio-open-1.0"),
}


def load_generator(
    name: str | Path,
    backend: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    **sampling: Any,
) -> Generator:
    """Load a generator.

    Parameters
    ----------
    name
        A registered name (``lab-musicgen``, ``facebook/musicgen-small`` ...), a folder, or a hub id.
    backend
        Which library runs it; by default the one that `NAMES` says, for a folder the one whose format it is
        in, and ``transformers`` for other hub ids.
    device
        ``auto``, ``cpu``, ``cuda`` ...
    dtype
        ``float32`` or ``bfloat16``.
    sampling
        Options of the backend; for ``transformers`` those of `generators.musicgen.load_musicgen`: guidance,
        temperature, top_k, batch_size; for ``diffusers`` those of `generators.stable_audio.load_stable_audio`:
        steps, guidance, negative_prompt, batch_size.

    Raises
    ------
    InputError
        If nothing of that name exists, an option is unknown or out of range, or the model cannot be loaded.
    """
    text = str(name)
    usual_backend, source = NAMES.get(text, (_backend_of(text), text))
    chosen = backend or usual_backend
    if chosen not in BACKENDS:
        raise InputError(f"unknown backend {chosen!r}: expected one of {', '.join(BACKENDS)}")
    module, _, function = BACKENDS[chosen].partition(":")
    load = getattr(importlib.import_module(module), function)
    _check_options(load, chosen, sampling)
    return load(text, source=source, known=tuple(NAMES), device=device, dtype=dtype, **sampling)


def _backend_of(source: str) -> str:
    folder = Path(source).expanduser()
    return next((backend for mark, backend in _MARKS.items() if (folder / mark).is_file()), _DEFAULT_BACKEND)


def _check_options(load: Any, backend: str, options: dict[str, Any]) -> None:
    fixed = {"name", "source", "known", "device", "dtype"}
    accepted = [option for option in inspect.signature(load).parameters if option not in fixed]
    for option in options:
        if option not in accepted:
            raise InputError(f"backend {backend} has no option {option!r}: it takes {', '.join(accepted)}")
