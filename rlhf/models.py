"""Trained generators as folders, and generators loaded for post-training.

A trained generator as a folder that `load_generator` loads: what it was made from, with other weights.

The generators of a post-training, which all sample in the same way.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from generators import Generator, load_generator
from generators.musicgen.loading import load_model
from generators.registry import given_sampling
from music.durable import finished_folder
from music.options import Sampling


def load_sampler(options: Any, name: str | Path) -> Generator:
    """Load a generator that samples as a command's options say.

    Parameters
    ----------
    options
        With `guidance`, `temperature` and `sampling_steps`, each None for the generator's own default, `dtype` and
        `device`.
    name
        A name, hub id or folder.

    Raises
    ------
    InputError
        If it cannot be loaded, or does not take an option.
    """
    sampling = given_sampling(options, Sampling)
    return load_generator(name, device=options.device, dtype=options.dtype, **sampling)


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
