"""Paths that people hand in: looked at without surprises, and refused in one line that says what is wrong.

`Path.is_file` and its like raise where a name is longer than a file system takes, where a folder may not be looked
into and where a name cannot be one; what lies at a path is asked here instead.
"""

import errno
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from music.errors import InputError
from music.texts import is_unicode

# no such file can exist, so that none is there; what is wrong is said by `check_file`
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_IN_EVERY_RUN = ("pool", "model")
_LONGEST = 255 - 15  # bytes of a name, with room for what marks parts and files that are being written


def is_file(path: str | Path) -> bool:
    """Return whether a file lies there; `InputError` if that cannot be seen."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: str | Path) -> bool:
    """Return whether a folder lies there; `InputError` if that cannot be seen."""
    return stat.S_ISDIR(_mode(path))


def is_pipe(path: str | Path) -> bool:
    """Return whether a named pipe lies there, such as ``<(...)`` of a shell; `InputError` if that cannot be seen."""
    return stat.S_ISFIFO(_mode(path))


def exists(path: str | Path) -> bool:
    """Return whether anything lies there; `InputError` if that cannot be seen."""
    return bool(_mode(path))


def check_file(path: str | Path, name: str = "file") -> None:
    """Check that a file lies at a path and may be read.

    Parameters
    ----------
    path
        The path.
    name
        What the file is, for the message.

    Raises
    ------
    InputError
        If it is missing, something else or may not be read, or its name cannot be that of a file.
    """
    if not (mode := _mode(path)):
        if reason := _why_missing(path):
            raise InputError(f"{name} {path} cannot be opened: {reason}")
        raise InputError(f"{name} {path} does not exist")
    if stat.S_ISDIR(mode):
        raise InputError(f"{name} {path} is a folder")
    if not stat.S_ISREG(mode):
        raise InputError(f"{name} {path} is no regular file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{name} {path} cannot be read: {os.strerror(errno.EACCES)}")


def check_output(path: str | Path) -> None:
    """Check that a file or folder may be made at a path, or written into if it is a folder already.

    Raises
    ------
    InputError
        If not, so that nothing is computed for it in vain.
    """
    place = Path(path).absolute()
    if exists(place) and not (is_file(place) or is_folder(place)):
        raise InputError(f"cannot write {path}: a device or pipe would be replaced; choose another --output")
    above = place if is_folder(place) else next(one for one in place.parents if exists(one))
    for name in place.relative_to(above).parts:
        if len(os.fsencode(name)) > _LONGEST:
            raise InputError(f"cannot write {path}: the name {name} is too long; choose another --output")
    if not is_folder(above):
        raise InputError(f"cannot write {path}: {above} is a file; choose another --output")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: {above} may not be written to; choose another --output")


def check_output_file(path: Path, suffix: str, option: str) -> None:
    """Check that a file that an option names may be written, and cannot be taken for one of another kind.

    Raises
    ------
    InputError
        If its name does not end so, it is a folder, or `check_output` refuses it.
    """
    if path.suffix.lower() != suffix:
        raise InputError(f"{option} must name a {suffix} file, got {path}")
    if is_folder(path):
        raise InputError(f"{option} must name a file, got the folder {path}")
    check_output(path)


def check_apart(source: str | Path, *targets: Path) -> None:
    """Check that no file that will be written is one that is read.

    Raises
    ------
    InputError
        If it is, under whatever names.
    """
    for target in targets:
        if exists(target) and exists(source) and os.path.samefile(source, target):
            raise InputError(f"{source} would be overwritten by {target}: choose another --output")


def is_readable(path: str | Path) -> bool:
    """Return whether `check_file` has nothing to say of a path."""
    try:
        check_file(path)
    except InputError:
        return False
    return True


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn any `OSError` inside the block, and a path that is none, into an `InputError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, InputError) or _is_path(path):
            raise
        raise InputError(f"{str(path)!a} cannot be a path: {error}") from error


def short_names(folders: Sequence[str | Path]) -> list[str]:
    """Return what to call folders: as few parts of their paths as tell them apart, without what every run has."""
    parts = [[part for part in Path(folder).parts if part != "/"] or [str(folder)] for folder in folders]
    parts = [one[:-1] if len(one) > 1 and one[-1] in _IN_EVERY_RUN else one for one in parts]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def files_in(folder: Path, pattern: str) -> list[Path]:
    """Return what matches a pattern in a folder, sorted.

    Raises
    ------
    InputError
        If the folder, or one below it that the pattern reaches, may not be looked into, or a name is not UTF-8, as no
        record could hold it.
    """
    with reading(folder):
        found = sorted(folder.glob(pattern))
    deep = os.walk(folder, onerror=_refuse_to_skip)  # a glob passes over what it may not look into
    for _ in deep if "**" in pattern else itertools.islice(deep, 1):
        pass
    for path in found:
        if not is_unicode(str(path)):
            raise InputError(f"the name of {str(path)!a} is not UTF-8: rename it")
    return found


def _mode(path: str | Path) -> int:
    """Return the kind of what lies at a path, as `os.stat` says it; 0 for nothing."""
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return 0
        raise InputError(f"cannot look at {path}: {error.strerror}") from error
    except ValueError as error:  # a null character, or half a character
        raise InputError(f"{str(path)!a} cannot be a path: {error}") from error


def _is_path(path: str | Path) -> bool:
    return "\0" not in str(path) and is_unicode(str(path))


def _refuse_to_skip(error: OSError) -> None:
    if error.errno not in _NOTHING_THERE:
        raise InputError(f"cannot look into {error.filename}: {error.strerror}") from error


def _why_missing(path: str | Path) -> str:
    """Return why nothing can lie at a path, empty if something could."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            return error.strerror or str(error)
    return ""
