"""``run.json``: what was run, with which versions, from which revision, on what, and how long it took.

It also tells whose a folder is: no command writes into one that holds the results of another (`claim_folder`).
"""

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from music.durable import write_text
from music.errors import InputError
from music.files import read_object
from music.paths import is_file

_BEGAN = time.monotonic()  # which no clock that is set changes
_START = time.time()  # a little after the command: torch, imported above, is loaded by now
RECORD = "run.json"
_LIBRARIES = (
    "torch",
    "transformers",
    "diffusers",
    "muq",
    "numpy",
    "soundfile",
    "soxr",
    "safetensors",
    "accelerate",
)


def claim_folder(folder: str | Path, config: Any) -> None:
    """Refuse a folder with the ``run.json`` of another command, before any work; one of an earlier version may be any.

    Parameters
    ----------
    folder
        Output folder of a command; it need not exist.
    config
        Its options, a dataclass, whose name stands for the command; `TAKES_UP` names others whose work it goes on with.

    Raises
    ------
    InputError
        If another command has finished there.
    """
    record: dict[str, Any] = {}
    with contextlib.suppress(InputError):
        if is_file(path := Path(folder) / RECORD):  # a pipe might never end
            record = read_object(path)
    job, command = record.get("job"), record.get("command")
    if job not in (None, _job(config), *getattr(config, "TAKES_UP", ())):
        script = command[1] if isinstance(command, list) and len(command) > 1 else job
        raise InputError(
            f"{folder} holds the results of another command ({'/'.join(Path(str(script)).parts[-2:])}): "
            "choose another --output"
        )


def write_run_record(folder: str | Path, config: Any, **facts: Any) -> Path:
    """Write ``run.json`` into the output folder of a command, atomically.

    Parameters
    ----------
    folder
        Output folder.
    config
        The resolved config, a dataclass or a mapping; the device recorded is that of its `device`, or auto. The options
        that its `UNTOLD` names are left out.
    **facts
        Anything else worth keeping (hashes, counts, seconds per stage); JSON, paths allowed.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If it cannot be written, or another command has written one there.
    """
    claim_folder(folder, config)
    settings = dataclasses.asdict(config) if dataclasses.is_dataclass(config) else dict(config)  # type: ignore[arg-type]
    for name in getattr(config, "UNTOLD", ()):
        del settings[name]
    record = {
        "command": [sys.executable, *sys.argv],
        "job": _job(config),
        "started": datetime.fromtimestamp(_START, timezone.utc).isoformat(timespec="seconds"),
        "wall_seconds": round(time.monotonic() - _BEGAN, 3),
        "config": settings,
        **facts,
        "revision": git_revision(),
        "device": device_name(settings.get("device", "auto")),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": library_versions(),
    }
    path = Path(folder) / RECORD
    write_text(path, json.dumps(record, indent=1, default=_plain, ensure_ascii=False) + "\n")
    return path


def _job(config: Any) -> str:
    return type(config).__name__


def library_versions(names: tuple[str, ...] = _LIBRARIES) -> dict[str, str]:
    """Return the versions of those libraries that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def device_name(device: str = "auto") -> str:
    """Return what is behind the ``--device`` of a command: the name of the GPU, or of the CPU."""
    if device.startswith(("auto", "cuda")) and torch.cuda.is_available():
        return torch.cuda.get_device_name(None if device == "auto" else device)
    processor = f"CPU {platform.machine()}, {os.cpu_count()} cores"
    return processor if device in ("auto", "cpu") else f"{device} beside {processor}"


def git_revision(file: Path = Path(__file__)) -> dict[str, Any] | None:
    """Return commit and whether tracked files differ from it; None unless `file` belongs to the checkout.

    An installed copy of this package often lies inside the repository of another project.
    """
    here = file.parent
    try:
        _git(here, "ls-files", "--error-unmatch", file.name)
        commit = _git(here, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "modified": bool(_git(here, "status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):  # no git, no checkout of ours, no commit yet, or too slow
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def _plain(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
