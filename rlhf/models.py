"""Models of a post-training: loaded to sample as its options say, and copied as folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from generators import Generator, load_generator
from generators.registry import given_sampling
from music.durable import finished_folder
from music.options import Sampling
from rlhf.options import Measuring


def load_sampler(options: Measuring, name: str | Path) -> Generator:
    """Load a generator, by its name, hub id or folder, that samples as a command's options say.

    Raises
    ------
    InputError
        If it cannot be loaded, or does not take an option.
    """
    sampling = given_sampling(options, Sampling)
    return load_generator(name, device=options.device, dtype=options.dtype, **sampling)


def copy_folder(source: Path, folder: Path) -> None:
    """Make a folder that holds the files of another, as hard links where the disk has them; it appears whole or not."""
    with finished_folder(folder) as part:
        shutil.copytree(source, part, dirs_exist_ok=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another disk, or one that knows no links
        shutil.copy(source, target)
