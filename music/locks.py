"""Locks against a second writer, of a file or of a folder of results; they end with the process, however it ends.

Some file systems of networks and clusters have no locks, each with an error of its own: there, runs go without.
"""

import contextlib
import fcntl
import os
import sys
import weakref
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from music.durable import TEMPORARY, make_folder, writing
from music.errors import InputError
from music.paths import exists

_HELD = f"{TEMPORARY}lock"
_told: set[Path] = set()


def open_locked(path: Path) -> FileIO:
    """Open a file to append to and read, which no other opener may; it is created when missing.

    Raises
    ------
    InputError
        If another process has it open so.
    """
    try:
        return _open(path, fcntl.flock)
    except BlockingIOError as error:
        raise InputError(
            f"another process is writing {path}: wait for it or choose another folder"
        ) from error


class FolderLock:
    """Keeps other processes out of a folder of results; this one may lock it again.

    Parameters
    ----------
    folder
        The folder; it is created when missing.

    Raises
    ------
    InputError
        If another process is in it.
    """

    def __init__(self, folder: Path) -> None:
        new = not exists(folder)
        make_folder(folder)
        with writing(folder):
            try:
                file = _open(folder / _HELD, fcntl.lockf)
            except BlockingIOError as error:
                raise InputError(
                    f"another run is at work in {folder}: wait for it, or choose another --output"
                ) from error
        #: lets others in; what nobody calls is called when this object goes
        self.release = weakref.finalize(self, _leave, file, folder / _HELD, new, os.getpid())


def _leave(file: FileIO, path: Path, new: bool, owner: int) -> None:
    if os.getpid() == owner:  # and no fork of it
        with contextlib.suppress(OSError):
            path.unlink()
            if new:
                path.parent.rmdir()  # fails if the run has put something there
    file.close()


def _open(path: Path, lock: Callable[[int, int], None]) -> FileIO:
    while True:
        file = open(path, "a+b", buffering=0)  # noqa: SIM115 (closed by the caller)
        try:
            lock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        except OSError as error:
            _tell(path.parent, error)
        except BaseException:
            file.close()
            raise
        if _lies_at(file.fileno(), path):
            return file
        file.close()  # it was removed between opening and locking: what is written to it would be lost


def _lies_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _tell(folder: Path, error: OSError) -> None:
    if folder not in _told:
        _told.add(folder)
        reason = error.strerror or str(error)
        print(
            f"warning: {folder} is on a file system without locks ({reason}): see that no second run writes there",
            file=sys.stderr,
        )
