"""Generators by name: shipped and published models, folders and hub ids.

A new model of a known kind needs a row in `generators.catalogue`, or none; a new kind of model a line in `BACKENDS`.
"""

import importlib
import inspect
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from generators.catalogue import CATALOGUE
from generators.protocol import Generator
from generators.shared.model_folder import UnknownModelError
from music.errors import InputError
from music.hub import UnreachableHubError
from music.options import Generation, Sampling
from music.paths import is_file

# backend: the function that loads a model with it
BACKENDS = {
    "transformers": "generators.musicgen.generator:load_musicgen",
    "audiocraft": "generators.musicgen.audiocraft.generator:load_audiocraft",
    "diffusers": "generators.diffusion.backend:load_diffusers",
    "stable-audio-tools": "generators.stable_audio.tools.generator:load_stability_audio",
    "folder": "generators.recorded.audio_folder:load_audio_folder",
}
_DEFAULT_BACKEND = "transformers"
_NOT_OPTIONS = ("name", "source", "device", "dtype")  # what every loader takes
_NOT_SAMPLING = ("backend", "ignore_unsupported")  # of the options that commands share
_OF_LOADERS = {"sampling_steps": "steps"}  # what loaders call otherwise than commands
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
        Library that runs it; by default the one that `NAMES` says, for a folder the one whose format it is in, and
        ``transformers`` for other hub ids.
    device
        Device of the model: ``auto``, ``cpu``, ``cuda`` ...
    dtype
        Numeric type of the model: ``float32`` or ``bfloat16``.
    sampling
        Options of the backend; for ``transformers`` those of `generators.musicgen.generator.load_musicgen`: guidance,
        temperature, top_k, batch_size, continuation; for ``audiocraft`` the same without continuation; for
        ``diffusers`` and ``stable-audio-tools`` those of `generators.diffusion.backend.load_diffusers`: guidance,
        negative_prompt, batch_size, and ``sampling_steps`` or, for short, ``steps``.

    Raises
    ------
    InputError
        If nothing of that name exists, an option is unknown or out of range, or the model cannot be loaded.
    """
    chosen, source = _resolve(str(name), backend)
    load = _loader(chosen)
    takes = _options(load)
    for option in sampling:
        if option not in (*takes, *(_OF_LOADERS.get(name) for name in takes)):
            raise InputError(
                f"backend {chosen} has no option {option!r}: it takes {', '.join(takes) or 'none'}"
            )
    sampling = {_OF_LOADERS.get(option, option): value for option, value in sampling.items()}
    try:
        return load(str(name), source=source, device=device, dtype=dtype, **sampling)
    except UnknownModelError as error:
        raise InputError(f"{error}; known names are {', '.join(NAMES)}") from error
    except UnreachableHubError as error:
        shipped = ", ".join(known.name for known in CATALOGUE if known.shipped)
        raise InputError(f"{error}, or use a shipped model ({shipped})") from error


def options_of(name: str | Path, backend: str | None = None) -> tuple[str, ...]:
    """Return the sampling options that `load_generator` takes with this name and backend.

    Raises
    ------
    InputError
        If there is no such backend.
    """
    return _options(_loader(_resolve(str(name), backend)[0]))


def given_sampling(config: Any, options: type[Sampling] = Generation) -> dict[str, Any]:
    """Return the sampling options of `load_generator` that a command was given.

    Parameters
    ----------
    config
        Options of the command, some of which have the names of `options`; None is one that was not given.
    options
        Which of the shared options are meant.
    """
    names = (field.name for field in fields(options) if field.name not in _NOT_SAMPLING)
    return {name: value for name in names if (value := getattr(config, name, None)) is not None}


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
    folder = Path(os.path.expanduser(source))
    return next((backend for mark, backend in _MARKS.items() if is_file(folder / mark)), _DEFAULT_BACKEND)


def _loader(backend: str) -> Callable[..., Generator]:
    module, _, function = BACKENDS[backend].partition(":")
    return getattr(importlib.import_module(module), function)


def _options(load: Callable[..., Generator]) -> tuple[str, ...]:
    of_commands = {loaders: name for name, loaders in _OF_LOADERS.items()}
    names = [name for name in inspect.signature(load).parameters if name not in _NOT_OPTIONS]
    return tuple(of_commands.get(name, name) for name in names)
