"""Find the parts of a model whose files only name them: T5 and EnCodec, for the own formats of Stability and Meta."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from generators.model_folder import locate
from music.errors import InputError
from music.torchaudio_repair import repair_torchaudio

_CONFIG = "config.json"
_FILES = ("*.json", "*.model", "*.txt")
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first kind that is there


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
        if (folder / _CONFIG).is_file():
            part_config(folder, model_type)
            return folder
    return locate(name, f"hub:{name}", known, _CONFIG, lambda hub_id: _download(hub_id, model_type))


def part_config(folder: Path, model_type: str) -> Mapping[str, Any]:
    """Return the ``config.json`` in a folder: `InputError` if it is not that of a model of this type."""
    path = folder / _CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as a model configuration: {error}") from error
    if kind != model_type:
        raise InputError(f"{path}: expected model_type {model_type}, got {kind!r}")
    return config


def check_t5(folder: Path) -> None:
    """`InputError` unless a folder holds all weights of a T5's encoder: a missing one would be a random one."""
    repair_torchaudio()
    from safetensors import SafetensorError
    from transformers import T5EncoderModel

    try:
        _, report = T5EncoderModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} cannot be loaded as T5: {reason}") from error
    if report["missing_keys"]:
        names = sorted(report["missing_keys"])
        raise InputError(f"{folder}: {len(names)} weights are missing, the first is {names[0]}")


def _download(hub_id: str, model_type: str) -> Path:
    from huggingface_hub import snapshot_download

    part_config(Path(snapshot_download(hub_id, allow_patterns=[_CONFIG])), model_type)
    folder = Path(snapshot_download(hub_id, allow_patterns=[*_FILES, _WEIGHTS[0]]))
    if not any(folder.glob(_WEIGHTS[0])):
        folder = Path(snapshot_download(hub_id, allow_patterns=[*_FILES, _WEIGHTS[1]]))
    return folder
