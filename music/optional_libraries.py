"""Libraries that not everybody needs: what needs them says which are missing and how to install them."""

import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from music.durable import make_folder
from music.errors import InputError
from music.shipped_files import INSTALLED


def install_extra(name: str) -> str:
    """Return the command that installs an extra of the project, in a checkout or where a wheel was installed."""
    return f'pip install "music-reward[{name}]"' if INSTALLED else f'pip install -e ".[{name}]"'


@dataclass(frozen=True)
class OptionalLibraries:
    """What a backend or a scorer needs beside what the project always has.

    Attributes
    ----------
    owner
        The name of the backend or the scorer.
    modules
        Their names as they are imported.
    cure
        The command that installs them.
    """

    owner: str
    modules: tuple[str, ...]
    cure: str

    def missing(self) -> str | None:
        """Return the name of a module that is not installed, if there is one."""
        return next((module for module in self.modules if not _is_installed(module)), None)

    def check(self) -> None:
        """`InputError` if a module is not installed."""
        missing = self.missing()
        if missing:
            raise InputError(f"{self.owner} needs {missing}, which is not installed: {self.cure}")


def check_tracker(name: str, output: str | Path) -> None:
    """Let the library behind a training's ``--tracker`` write below its output; `InputError` if it is not installed."""
    from accelerate.tracking import get_available_trackers

    if name not in ("none", *(tracker.value for tracker in get_available_trackers())):
        raise InputError(f"--tracker {name} is not installed: pip install {name}")
    if name == "wandb":  # which otherwise writes into the working directory
        make_folder(Path(os.environ.setdefault("WANDB_DIR", str(Path(output).absolute() / "tracker"))))


def extra_with(module: str) -> str | None:
    """Return the extra of this project that installs a module, if one does."""
    try:
        requirements = metadata.requires("music-reward") or []
    except metadata.PackageNotFoundError:
        return None
    top = module.partition(".")[0].lower()
    for requirement in requirements:
        found = re.match(r"([\w.-]+).*extra == .(?!dev)([\w-]+)", requirement)
        if found and found[1].lower().replace("-", "_") == top:
            return found[2]
    return None


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None
