"""From the name of a model (a folder, a shipped name, a hub id) to the folder that holds it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.files import read_object
from music.hashing import sha256_folder
from music.hub import hub_errors
from music.paths import exists, is_file
from music.shapes import WEIGHTLESS, for_shapes
from music.shipped_files import asset

_TEXT_FILES = ("*.json", "*.model", "*.txt")  # configurations and tokenizers
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first kind that is there
_NOT_MODEL = ("preprocessor_config.json", "processor_config.json", "generation_config.json")


class UnknownModelError(InputError):
    """There is no model of a name; who knows names that there are adds them."""


def locate(name: str, source: str, index: str, download: Callable[[str], Path]) -> Path:
    """Return the folder of a model of any library, downloading it if it is on the hub and not yet here.

    Parameters
    ----------
    name
        Name that the user gave, for messages.
    source
        ``asset:PLACE`` for a shipped model; ``hub:ID``, which a folder of that name takes the place of; or anything
        else: a folder, or failing that a hub id.
    index
        File that every folder of this library has.
    download
        Function from a hub id to a folder; may raise the errors of the hub.

    Raises
    ------
    InputError
        If it cannot be found (the message says what was tried), or `download` refuses it.
    """
    kind, _, place = source.partition(":")
    if kind == "asset":
        return asset(place)
    folder = Path(os.path.expanduser(source))
    if kind == "hub" and is_file(Path(place) / index):
        return Path(place)
    if kind != "hub" and exists(folder):
        if not is_file(folder / index):
            raise InputError(f"{folder} holds no model: it has no {index}")
        return folder
    hub_id = place if kind == "hub" else source
    if kind != "hub" and (source.count("/") != 1 or source.startswith((".", "/", "~"))):
        tried = "there is no folder of that name, and it is no hub id (ORGANISATION/MODEL)"
        raise UnknownModelError(f"unknown generator {name!r}: {tried}")
    with hub_errors(hub_id, f"there is no folder {hub_id}"):
        return download(hub_id)


def find_folder(name: str, source: str, model_types: Sequence[str]) -> Path:
    """Return the folder of a model of transformers, downloading it if it is on the hub and not yet here.

    Parameters
    ----------
    name, source
        Name and place, as in `locate`.
    model_types
        Kinds of model that will do, as ``config.json`` names them; of another kind nothing else is downloaded.

    Raises
    ------
    InputError
        If it cannot be found (the message says what was tried), or the hub has another type of model.
    """
    return locate(name, source, "config.json", lambda hub_id: _download(hub_id, model_types))


def find_named(name: str, model_type: str, beside: Path) -> Path:
    """Return the folder of a part, in the format of transformers, that a model's files only name.

    Parameters
    ----------
    name
        Name in the model's configuration: a folder below that of the model, another folder, or a hub id.
    model_type
        Kind of model, as in ``config.json``; of another kind nothing else is downloaded.
    beside
        Folder of the model.

    Raises
    ------
    InputError
        If it cannot be found, or is of another type.
    """
    for folder in (beside / name, Path(os.path.expanduser(name))):
        if is_file(folder / "config.json"):
            check_kind(folder, (model_type,))
            return folder
    return find_folder(name, f"hub:{name}", (model_type,))


def download_index(hub_id: str, index: str, library: str, cure: str) -> Path:
    """Return a folder with the index of a model on the hub: `InputError` if it has none.

    Parameters
    ----------
    hub_id
        Name of the repository.
    index
        File that every model of the library has.
    library, cure
        Library that would run it, and what the user can do instead, for the message.
    """
    from huggingface_hub import snapshot_download

    found = Path(snapshot_download(hub_id, allow_patterns=[index]))
    if not is_file(found / index):
        raise InputError(f"{hub_id} has no {index}, so that {library} cannot run it: {cure}")
    return found


def check_kind(folder: Path, model_types: Sequence[str]) -> str:
    """Return the model type that the ``config.json`` in a folder names: `InputError` unless it is one of these."""
    path = folder / "config.json"
    kind: Any = read_object(path).get("model_type")
    if kind not in model_types:
        raise InputError(f"{path}: expected model_type {' or '.join(model_types)}, got {kind!r}")
    return kind


def weights_hash(folder: Path, beside: Sequence[str] = ()) -> str:
    """Return one SHA-256 over what decides what a model computes: configuration, weights, tokenizer.

    Configurations that decide nothing about most models count where `beside` names them.
    """
    if for_shapes():
        return WEIGHTLESS
    weights = next((pattern for pattern in _WEIGHTS if any(folder.glob(pattern))), None)
    if weights is None:
        raise InputError(f"{folder} holds no weights: expected model.safetensors (or its parts)")
    names = {file.name for pattern in (*_TEXT_FILES, weights) for file in folder.glob(pattern)}
    return sha256_folder(folder, sorted(names - (set(_NOT_MODEL) - set(beside))))


def _download(hub_id: str, model_types: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    cure = "name the library that can, --backend diffusers, stable-audio-tools or audiocraft"
    check_kind(download_index(hub_id, "config.json", "transformers", cure), model_types)
    for weights in _WEIGHTS:
        folder = Path(snapshot_download(hub_id, allow_patterns=[*_TEXT_FILES, weights]))
        if any(folder.glob(weights)):
            break
    return folder
