"""Stand-ins for modules that a library imports and that making music does not need."""

import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def stand_ins(modules: Mapping[str, types.ModuleType | None]) -> Iterator[None]:
    """While it lasts, imports find these modules; afterwards nothing of them is left for others to find.

    What was imported meanwhile keeps the stand-ins that it bound to a name.

    Parameters
    ----------
    modules
        Modules by full name; None makes the import fail, as if the module were not installed.
    """
    before = {name: sys.modules[name] for name in _known(modules)}
    for name in before:
        del sys.modules[name]
    present: Any = modules  # None is not in the type of `sys.modules`, but it is what makes an import fail
    sys.modules.update(present)
    try:
        yield
    finally:
        for name in _known(modules):
            del sys.modules[name]
        sys.modules.update(before)


def module(name: str, path: list[str] | None = None, **contents: object) -> types.ModuleType:
    """Return a stand-in: a module with nothing but these contents.

    Parameters
    ----------
    name
        Its full name.
    path
        Where the submodules of a package are found.
    contents
        Its attributes.
    """
    made = types.ModuleType(name)
    if path is not None:
        made.__path__ = path
    made.__dict__.update(contents)
    return made


def _known(modules: Mapping[str, types.ModuleType | None]) -> list[str]:
    """Return the names of loaded modules that are among these or lie in one of them."""
    return [
        name
        for name in list(sys.modules)
        if any(name == top or name.startswith(f"{top}.") for top in modules)
    ]
