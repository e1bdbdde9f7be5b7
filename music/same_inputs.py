"""The beginning of a command that several processes run: they meet, and all were started with the same inputs."""

import dataclasses
import platform
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from music.devices import find_device
from music.hashing import sha256_text
from music.pool_writer import prompt_columns
from music.processes import Processes
from music.prompts import Prompt
from music.provenance import library_versions

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("music", "generators", "reward", "scaling", "rlhf", "experiments")


def meet(config: Any, folder: str | Path | None = None) -> Processes:
    """Return the processes of this run, all of which have the same options, versions and code.

    It comes before anything is read, so that whatever one of them finds wrong ends them all.

    Parameters
    ----------
    config
        Options of the command, a dataclass.
    folder
        Folder for its results, which all must see.

    Raises
    ------
    InputError
        If one of them differs, or does not come.
    """
    processes = Processes()
    if processes.world_size > 1:
        options = {f"--{name}": value for name, value in dataclasses.asdict(config).items()}
        versions = {f"version of {name}": version for name, version in library_versions().items()}
        facts = {"Python": platform.python_version(), **versions, "code of this project": code_hash()}
        if "--device" in options:
            facts["type of device"] = find_device(options["--device"]).type
        processes.agree({**options, **facts}, None if folder is None else Path(folder))
    return processes


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
    files = sorted(path for package in _PACKAGES for path in (_ROOT / package).rglob("*.py"))
    return sha256_text(
        "\n".join(f"{path.relative_to(_ROOT)} {sha256_text(path.read_text())}" for path in files)
    )
