"""Libraries that not everybody needs: what needs them says which are missing and how to install them."""

import importlib.util
from dataclasses import dataclass

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
        return next((module for module in self.modules if importlib.util.find_spec(module) is None), None)

    def check(self) -> None:
        """`InputError` if a module is not installed."""
        missing = self.missing()
        if missing:
            raise InputError(f"{self.owner} needs {missing}, which is not installed: {self.cure}")
