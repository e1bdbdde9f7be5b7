"""The beginning of a command that several processes run: they meet, and all were started with the same inputs."""

import contextlib
import dataclasses
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

import music
from music.devices import find_device
from music.hashing import sha256_file, sha256_text
from music.locks import FolderLock
from music.pool_writer import prompt_columns
from music.processes import Processes
from music.prompts import Prompt
from music.provenance import claim_folder, library_versions

_ROOT = Path(music.__file__).parent.parent
#: variables by which libraries choose their kernels, and so the last bits
_DECIDING = (
    *("MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"),
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"),
)
_PACKAGES = ("music", "generators", "reward", "scaling", "rlhf", "experiments")


@contextmanager
def meet(config: Any, folder: str | Path | None = None, alone: bool = False) -> Iterator[Processes]:
    """Yield the processes of this run, all of which have the same options, versions, threads and code.

    It comes before anything is read, and everything within the block, so that whatever ends one of them ends all.

    Parameters
    ----------
    config
        Options of the command, a dataclass.
    folder
        Folder for its results, which all must see.
    alone
        Whether the folder is for this command alone: no other run may be at work in it, nor another command have left
        its results there.

    Raises
    ------
    InputError
        If a process differs or does not come, or the folder is not for this run.
    """
    with Processes() as processes, contextlib.ExitStack() as held:
        if processes.world_size > 1:
            processes.agree(inputs_of(config), None if folder is None else Path(folder))
        if folder is not None and alone and processes.is_main:
            held.callback(FolderLock(Path(folder)).release)
            claim_folder(folder, config)
        yield processes


def inputs_of(config: Any) -> dict[str, Any]:
    """Return what must be the same in every process of a command, by names for messages."""
    options = {f"--{name}": value for name, value in dataclasses.asdict(config).items()}
    versions = {f"version of {name}": version for name, version in library_versions().items()}
    facts = {"Python": platform.python_version(), **versions, "code of this project": code_hash()}
    if "--device" in options:
        facts["type of device"] = find_device(options["--device"]).type
    settings = {name: os.environ.get(name, "") for name in _DECIDING}
    return {**options, **facts, "OMP_NUM_THREADS": torch.get_num_threads(), **settings}


def agree_on_prompts(processes: Processes, prompts: Sequence[Prompt]) -> None:
    """Compare the prompts of all processes.

    Raises
    ------
    InputError
        If one of them has read others.
    """
    if processes.world_size > 1:
        processes.agree({"content of the prompts": [[one.id, prompt_columns(one)] for one in prompts]})


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Return the SHA-256 of the code of this project."""
    return sha256_text("\n".join(f"{path.relative_to(_ROOT)} {sha256_file(path)}" for path in code_files()))


def code_files() -> list[Path]:
    """Return the files with the code of this project, where it is installed."""
    found = (path for package in _PACKAGES for path in (_ROOT / package).rglob("*.py"))
    return sorted(path for path in found if path.is_file())  # locks of editors are links to nowhere
