"""A trained generator as a folder that `load_generator` loads: what it was made from, with other weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from generators.musicgen_loading import load_model
from music.finished_folder import finished_folder

_TRANSFORMER = "transformer"  # folder of it in a pipeline
_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json")


def save_musicgen(weights: Mapping[str, torch.Tensor], source: Path, folder: Path) -> None:
    """Write a MusicGen whose decoder has other weights.

    The folder appears whole or not at all.

    Parameters
    ----------
    weights
        Of the decoder, by name; those not named stay.
    source
        The folder of the model that it began as; tokenizer, configurations and the like are copied.
    folder
        Where to.
    """
    model, _ = load_model(source, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        for name, weight in weights.items():
            model.decoder.get_parameter(name).copy_(weight)
    with finished_folder(folder) as part:
        model.save_pretrained(part)
        weights_files = {path.name for pattern in _WEIGHTS for path in source.glob(pattern)}
        for path in source.iterdir():
            if path.is_file() and path.name not in weights_files:
                shutil.copy(path, part / path.name)


def save_stable_audio(transformer: Any, source: Path, folder: Path) -> None:
    """Write a pipeline of diffusers with another transformer; the folder appears whole or not at all.

    Parameters
    ----------
    transformer
        A `StableAudioDiTModel`.
    source
        The folder that everything else is copied from.
    folder
        Where to.
    """
    with finished_folder(folder) as part:
        shutil.copytree(source, part, dirs_exist_ok=True, ignore=lambda _, names: {_TRANSFORMER} & set(names))
        transformer.save_pretrained(part / _TRANSFORMER)


def copy_model(source: Path, folder: Path) -> None:
    """Make a folder that holds the files of another, as hard links where the disk has them; it appears whole or not."""
    with finished_folder(folder) as part:
        shutil.copytree(source, part, dirs_exist_ok=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another disk, or one that knows no links
        shutil.copy(source, target)
