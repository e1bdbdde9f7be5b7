"""Find the parts of a model whose files only name them: T5 and EnCodec, for the own formats of Stability and Meta."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from generators.model_folder import check_kind, find_folder
from music.errors import InputError
from music.json_files import read_object
from music.torchaudio_repair import repair_torchaudio


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
