"""From what a user calls a model (a folder, a shipped name, a hub id) to the folder that holds it.

Find the parts of a model whose files only name them: T5 and EnCodec, for the own formats of Stability and
Meta.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.files import read_object
from music.hashing import sha256_folder
from music.library_repairs import repair_torchaudio
from music.shipped_files import asset


def find_named(name: str, model_type: str, beside: Path, known: Sequence[str]) -> Path:
    """Return the folder of a part in the format of transformers, downloading it if it is not yet here.

    Parameters
    ----------
    name
        As the model's configuration has it: a folder below that of the model, another folder, or a hub id.
    model_type
        As in its ``config.json``; of a model of another type nothing else is downloaded.
    beside
        The folder of the model.
    known
        Registered generators, for messages.

    Raises
    ------
    InputError
        If it cannot be found, or is of another type.
    """
    for folder in (beside / name, Path(name).expanduser()):
        if (folder / "config.json").is_file():
            check_kind(folder, (model_type,))
            return folder
    return find_folder(name, f"hub:{name}", known, (model_type,))


@contextmanager
def known_t5(conditioner: Any, folder: Path, names: str, widths: str) -> Iterator[None]:
    """Let a library's conditioner take a T5 from a folder: it knows a few names on the hub and their widths.

    Parameters
    ----------
    conditioner
        The class.
    folder
        Of the T5.
    names, widths
        Its attributes that hold the names that it knows, and their widths.
    """
    own = {names: [str(folder)], widths: {str(folder): read_object(folder / "config.json")["d_model"]}}
    before = {attribute: getattr(conditioner, attribute) for attribute in own}
    for attribute, value in own.items():
        setattr(conditioner, attribute, value)
    try:
        yield
    finally:
        for attribute, value in before.items():
            setattr(conditioner, attribute, value)


def check_t5(folder: Path) -> None:
    """`InputError` unless a folder holds all weights of a T5's encoder: a missing one would be a random one."""
    repair_torchaudio()
    from safetensors import SafetensorError
    from transformers import T5EncoderModel

    kind: Any = T5EncoderModel  # its annotation forgets the report
    try:
        _, report = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} cannot be loaded as T5: {reason}") from error
    if report["missing_keys"]:
        names = sorted(report["missing_keys"])
        raise InputError(f"{folder}: {len(names)} weights are missing, the first is {names[0]}")


_TEXT_FILES = ("*.json", "*.model", "*.txt")  # configurations and tokenizers
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first kind that is there
_NOT_MODEL = ("preprocessor_config.json", "processor_config.json", "generation_config.json")


def find_folder(
    name: str, source: str, known: Sequence[str], model_types: Sequence[str] = ("musicgen",)
) -> Path:
    """Return the folder of a model of transformers, downloading it if it is on the hub and not yet here.

    Parameters
    ----------
    name, source, known
        As in `locate`.
    model_types
        As in ``config.json``; of a model of another type nothing else is downloaded.

    Raises
    ------
    InputError
        If it cannot be found (the message says what was tried), or the hub has another type of model.
    """
    return locate(name, source, known, "config.json", lambda hub_id: _download(hub_id, model_types))


def locate(name: str, source: str, known: Sequence[str], index: str, download: Callable[[str], Path]) -> Path:
    """Return the folder of a model of any library, downloading it if it is on the hub and not yet here.

    Parameters
    ----------
    name
        As the user gave it, for messages.
    source
        ``asset:PLACE`` for a shipped model; ``hub:ID``, which a folder of that name takes the place of; or anything
        else: a folder, or failing that a hub id.
    known
        Registered names, for messages.
    index
        File that every folder of this library has.
    download
        From a hub id to a folder; may raise the errors of the hub.

    Raises
    ------
    InputError
        If it cannot be found (the message says what was tried), or `download` refuses it.
    """
    kind, _, place = source.partition(":")
    if kind == "asset":
        return asset(place)
    folder = Path(source).expanduser()
    if kind == "hub" and (Path(place) / index).is_file():
        return Path(place)
    if kind != "hub" and folder.exists():
        if not (folder / index).is_file():
            raise InputError(f"{folder} holds no model: it has no {index}")
        return folder
    hub_id = place if kind == "hub" else source
    if kind != "hub" and (source.count("/") != 1 or source.startswith((".", "/", "~"))):
        tried = "there is no folder of that name, and it is no hub id (ORGANISATION/MODEL)"
        raise InputError(f"unknown generator {name!r}: {tried}; known names are {', '.join(known)}")
    with _hub_errors(hub_id, known):
        return download(hub_id)


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
    patterns = (*_TEXT_FILES, _weights_pattern(folder))
    names = {file.name for pattern in patterns for file in folder.glob(pattern)}
    return sha256_folder(folder, sorted(names - (set(_NOT_MODEL) - set(beside))))


def _weights_pattern(folder: Path) -> str:
    for pattern in _WEIGHTS:
        if any(folder.glob(pattern)):
            return pattern
    raise InputError(f"{folder} holds no weights: expected model.safetensors (or its parts)")


def _download(hub_id: str, model_types: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    found = Path(snapshot_download(hub_id, allow_patterns=["config.json"]))
    if not (found / "config.json").is_file():
        raise InputError(
            f"{hub_id} has no config.json, so that transformers cannot run it: name the library that can, "
            "--backend diffusers, stable-audio-tools or audiocraft"
        )
    check_kind(found, model_types)
    folder = Path(snapshot_download(hub_id, allow_patterns=[*_TEXT_FILES, _WEIGHTS[0]]))
    if not any(folder.glob(_WEIGHTS[0])):
        folder = Path(snapshot_download(hub_id, allow_patterns=[*_TEXT_FILES, _WEIGHTS[1]]))
    return folder


@contextmanager
def _hub_errors(hub_id: str, known: Sequence[str]) -> Iterator[None]:
    """Turn what the hub may raise into one line for the user."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        yield
    except LocalEntryNotFoundError as error:
        shipped = ", ".join(name for name in known if "/" not in name)
        raise InputError(
            f"{hub_id} is neither a folder here nor in the local hub cache, and the hub cannot be reached: "
            f"go online once, give a folder, or use a shipped model ({shipped})"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{hub_id} is no folder here and cannot be had from the hub: {reason}") from error
