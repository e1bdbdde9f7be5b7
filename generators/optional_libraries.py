"""Libraries that not everybody needs: a backend says which are missing and how to install them."""

import importlib.util
from dataclasses import dataclass

from music.errors import InputError


@dataclass(frozen=True)
class OptionalLibraries:
    """What a backend needs beside what the project always has.

    Attributes
    ----------
    backend
        Its name.
    modules
        Their names as they are imported.
    cure
        The command that installs them.
    """

    backend: str
    modules: tuple[str, ...]
    cure: str

    def missing(self) -> str | None:
        """Return the name of a module that is not installed, if there is one."""
        return next((module for module in self.modules if importlib.util.find_spec(module) is None), None)

    def check(self) -> None:
        """`InputError` if a module is not installed."""
        missing = self.missing()
        if missing:
            raise InputError(f"backend {self.backend} needs {missing}, which is not installed: {self.cure}")
