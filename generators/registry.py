"""Generators by name: shipped and published models, folders and hub ids.

A new model of a known kind needs a row in `generators.catalogue`, or none; a new kind of model one line in `BACKENDS`.
"""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generators.catalogue import CATALOGUE
from generators.protocol import Generator
from music.errors import InputError

# backend: the function that loads a model with it
BACKENDS = {
    "transformers": "generators.musicgen.generator:load_musicgen",
    "audiocraft": "generators.musicgen.audiocraft.generator:load_audiocraft",
    "diffusers": "generators.diffusion.backend:load_diffusers",
    "stable-audio-tools": "generators.stable_audio.tools.generator:load_stability_audio",
    "folder": "generators.recorded.audio_folder:load_audio_folder",
}
_DEFAULT_BACKEND = "transformers"
#: what the loaders of all backends take, and commands offer
SAMPLING_OPTIONS = (
    "guidance",
    "steps",
    "negative_prompt",
    "temperature",
    "top_k",
    "continuation",
    "batch_size",
)
_NOT_OPTIONS = ("name", "source", "known", "device", "dtype")  # what every loader takes
# file in a folder: the backend that runs what the folder holds, unless another is asked for; the first that is there
_MARKS = {
    "model_index.json": "diffusers",
    "model_config.json": "stable-audio-tools",
    "config.json": "transformers",
    "compression_state_dict.bin": "audiocraft",
}

# name: (backend, where the model lies)
NAMES = {known.name: (known.backend, known.source) for known in CATALOGUE if known.source}


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
        A registered name (``lab-musicgen``, ``facebook/musicgen-small`` ...), a folder, or a hub id;
        ``BACKEND:NAME`` is short for a name and its backend: ``folder:PATH``.
    backend
        Which library runs it; by default the one that `NAMES` says, for a folder the one whose format it is
        in, and ``transformers`` for other hub ids.
    device
        ``auto``, ``cpu``, ``cuda`` ...
    dtype
        ``float32`` or ``bfloat16``.
    sampling
        Options of the backend; for ``transformers`` those of `generators.musicgen.generator.load_musicgen`: guidance,
        temperature, top_k, batch_size, continuation; for ``audiocraft`` the same without continuation; for
        ``diffusers`` and ``stable-audio-tools`` those of `generators.diffusion.backend.load_diffusers`: steps,
        guidance, negative_prompt, batch_size.

    Raises
    ------
    InputError
        If nothing of that name exists, an option is unknown or out of range, or the model cannot be loaded.
    """
    chosen, source = _resolve(str(name), backend)
    load = _loader(chosen)
    for option in sampling:
        if option not in _options(load):
            takes = ", ".join(_options(load)) or "none"
            raise InputError(f"backend {chosen} has no option {option!r}: it takes {takes}")
    return load(str(name), source=source, known=tuple(NAMES), device=device, dtype=dtype, **sampling)


def options_of(name: str | Path, backend: str | None = None) -> tuple[str, ...]:
    """Return the sampling options that `load_generator` takes with this name and backend.

    Raises
    ------
    InputError
        If there is no such backend.
    """
    return _options(_loader(_resolve(str(name), backend)[0]))


def given_sampling(config: Any) -> dict[str, Any]:
    """Return the sampling options that a command was given, as loaders call them: its fields that are not None."""
    options = {name: getattr(config, name, None) for name in SAMPLING_OPTIONS}
    options["steps"] = getattr(
        config, "sampling_steps", options["steps"]
    )  # `steps` may be those of a training
    return {name: value for name, value in options.items() if value is not None}


def _resolve(name: str, backend: str | None) -> tuple[str, str]:
    """Return the backend and where the model lies."""
    prefix, colon, rest = name.partition(":")
    if colon and prefix in BACKENDS:
        if backend not in (None, prefix):
            raise InputError(f"--backend {backend} contradicts --generator {name}")
        backend, name = prefix, rest
    usual_backend, source = (
        (backend, name) if backend == "folder" else NAMES.get(name, (_backend_of(name), name))
    )
    chosen = backend or usual_backend
    if chosen not in BACKENDS:
        raise InputError(f"unknown backend {chosen!r}: expected one of {', '.join(BACKENDS)}")
    return chosen, source


def _backend_of(source: str) -> str:
    folder = Path(source).expanduser()
    return next((backend for mark, backend in _MARKS.items() if (folder / mark).is_file()), _DEFAULT_BACKEND)


def _loader(backend: str) -> Callable[..., Generator]:
    module, _, function = BACKENDS[backend].partition(":")
    return getattr(importlib.import_module(module), function)


def _options(load: Callable[..., Generator]) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(load).parameters if name not in _NOT_OPTIONS)
