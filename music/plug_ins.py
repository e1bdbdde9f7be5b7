"""Classes and functions from anywhere by name: ``module:Name``, or ``FILE.py:Name``.

A module is looked for as Python does, and then in the working directory, which is not on the path of a script that
is launched by its own. Beside a CPU build of torch, torchaudio works for what is imported here as it does for us.
"""

import importlib
import importlib.util
import operator
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from music.errors import InputError
from music.hashing import sha256_text
from music.library_repairs import repair_torchaudio
from music.paths import is_file

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
EXPECTED = "module:Name or FILE.py:Name"


def find_plug_in(name: str) -> Callable[..., Any]:
    """Return a class or function.

    Parameters
    ----------
    name
        ``module:Name``, where the module can be imported or lies in the working directory, or ``FILE.py:Name``.

    Raises
    ------
    InputError
        If the name is of another form, there is no such module, file, class or function, or the import fails; the
        message names file and line.
    """
    place, colon, attribute = name.rpartition(":")
    if not (colon and place and attribute):
        raise InputError(f"expected {EXPECTED}, got {name!r}")
    repair_torchaudio()
    with staying_here():
        module = _import_file(Path(place).expanduser()) if place.endswith(".py") else _import_module(place)
    try:
        found = operator.attrgetter(attribute)(module)
    except AttributeError as error:
        file = getattr(module, "__file__", None) or place
        raise InputError(f"{name}: {file} has no {attribute!r}") from error
    if not callable(found):
        raise InputError(f"{name} is neither a class nor a function")
    return found


@contextmanager
def staying_here() -> Iterator[None]:
    """Come back to the working directory, to which our paths are relative, if somebody else's code has left it."""
    folder = Path.cwd()
    try:
        yield
    finally:
        os.chdir(folder)


def reason_of(error: BaseException) -> str:
    """Return in one line what somebody else's code has raised, and where in it, rather than in a library it calls."""
    frames = traceback.extract_tb(error.__traceback__)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SyntaxError) and error.filename:
        return text  # which says where
    told = [one for one in frames if not one.filename.startswith("<") and one.filename != __file__]
    own = [one for one in told if not one.filename.startswith(_LIBRARIES)] or told
    return f"{text} ({own[-1].filename} line {own[-1].lineno})" if own else text


def _import_module(name: str) -> ModuleType:
    if any(not part.isidentifier() for part in name.split(".")):
        raise InputError(f"{name!r} is no name of a module: expected {EXPECTED}")
    _look_into(Path.cwd())
    importlib.invalidate_caches()  # the module may be younger than what is known of its folder
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"{name} cannot be imported: {reason_of(error)}") from error
        raise InputError(
            f"there is no module {name}: go to its folder, put that on PYTHONPATH, or give its file, as in "
            f"./{name.replace('.', '/')}.py:Name"
        ) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{name} cannot be imported: {reason_of(error)}") from error


def _import_file(path: Path) -> ModuleType:
    if not is_file(path):
        raise InputError(f"there is no file {path}")
    path = path.resolve()
    # a name of its own, so that a file called like a library does not stand in for it; no part of it is the folder,
    # for hashes may hold it
    names = (f"plug_in_{path.stem}", f"plug_in_{path.stem}_{sha256_text(str(path))[:8]}")
    for name in names:
        known = sys.modules.get(name)
        if known is not None and known.__file__ == str(path):
            return known
    name = next(name for name in names if name not in sys.modules)
    _look_into(Path.cwd())
    _look_into(path.parent)  # for the modules beside it
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"{path} cannot be imported: {reason_of(error)}") from error
    return module


def _look_into(folder: Path) -> None:
    """Let modules be imported from a folder, after those that are installed."""
    if str(folder) not in sys.path and not (folder == Path.cwd() and "" in sys.path):
        sys.path.append(str(folder))
