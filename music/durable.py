"""Files and folders that are whole or absent: written under a temporary name, synced, then renamed.

A kill at any moment leaves the old file or the new one, and at worst a leftover whose name starts with `TEMPORARY`,
which `remove_leftovers` clears. Leading dots also hide leftovers from dataset loaders. `claim_work` notes what a folder
of unfinished work was made from, so that it is not continued from anything else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.hashing import canonical_json

TEMPORARY = ".tmp-"
CLAIM = "made_from.json"  # of `claim_work`
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as safetensors tells it
# as torch.save does, which writes by itself
_TORCH_CANNOT_WRITE = ("PytorchStreamWriter failed", "iostream error", "enforce fail at inline_container.cc")
_SHOWN = 40  # letters of a value in a message
_LEFTOVER = re.compile(re.escape(TEMPORARY) + r"(\d+)-.+")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn a failure to write inside the block into an `InputError` that names `path` and the reason.

    Such are any `OSError`, and what safetensors and torch raise in its place.
    """
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise InputError(
            f"cannot write {path}: {reason}; free space or choose another --output folder"
        ) from error


def _reason(error: Exception) -> str | None:
    """Return why something could not be written; None for an error of another kind."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    told = str(error)
    number = _OS_ERROR.search(told)
    if number and type(error).__name__ == "SafetensorError":
        return os.strerror(int(number[1]))
    if isinstance(error, RuntimeError) and any(words in told for words in _TORCH_CANNOT_WRITE):
        return "the file was not written to its end"
    return None


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; `InputError` if that is impossible (say, a file is in the way)."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def temporary_path(path: Path, owner: int = 0) -> Path:
    """Return the name under which a file is written before it gets its own."""
    return path.parent / f"{TEMPORARY}{owner}-{path.name}"


def write_bytes(path: Path, data: bytes, owner: int = 0) -> None:
    """Write a file atomically and durably: temporary name, fsync, rename, fsync of the folder.

    Parameters
    ----------
    path
        Path of the file; its folder is created.
    data
        All of its bytes.
    owner
        Rank of the writing process; it keeps the temporary names of two processes apart.

    Raises
    ------
    InputError
        If the disk is full, the folder unwritable, or the like; nothing is left behind.
    """
    make_folder(path.parent)
    temporary = temporary_path(path, owner)
    with writing(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, owner: int = 0) -> None:
    """Write a UTF-8 text file as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"), owner)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, as `write_bytes` does."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a rename or a new file is safe only after this)."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def leftovers(folder: Path) -> list[tuple[int, Path]]:
    """Return the temporary files below `folder`, each with the rank of its writer, dead or alive."""
    found = []
    for path in folder.rglob(f"{TEMPORARY}*"):
        name = _LEFTOVER.fullmatch(path.name)
        if name and path.is_file():
            found.append((int(name[1]), path))
    return found


def remove_leftovers(folder: Path, owner: int | None = None) -> None:
    """Remove the temporary files of killed writers below `folder`; only those of `owner` if given.

    It cannot tell the dead from the living: the caller knows that no such writer is at work.
    """
    with writing(folder):
        for rank, path in leftovers(folder):
            if owner in (None, rank):
                path.unlink(missing_ok=True)


@contextmanager
def finished_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to; when the block ends without an error it replaces `folder`, durably.

    Raises
    ------
    InputError
        If the disk is full or the like; `folder` is left as it was, and nothing beside it.
    """
    part = folder.with_name(f"{folder.name}.part")
    with writing(folder):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            yield part
            for path in [*part.rglob("*"), part]:
                _sync(path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        _sync(folder.parent)


def claim_work(folder: Path, *, no_longer: Mapping[str, Collection[str]] | None = None, **facts: Any) -> None:
    """Note what a work folder was made from, and refuse to continue it from anything else.

    Parameters
    ----------
    folder
        The folder.
    no_longer
        Names that earlier versions have noted in facts that are mappings, and that do not count.
    facts
        What it is made from; JSON.

    Raises
    ------
    InputError
        If the folder holds work that was made from other facts.
    """
    path = folder / CLAIM
    wanted = canonical_json(facts)
    if not path.exists():
        write_text(path, wanted + "\n")
        return
    found: dict[str, Any] = json.loads(path.read_text())
    for fact, names in (no_longer or {}).items():
        found[fact] = {name: value for name, value in found.get(fact, {}).items() if name not in names}
    if canonical_json(found) != wanted:
        raise InputError(
            f"{folder} holds work with another {', '.join(_changes(found, json.loads(wanted)))}: delete it to start "
            "anew, or choose another folder"
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of what differs, with the values if they are short; of a mapping, what differs in it."""
    told = []
    for name in sorted({*before, *now}):
        one, other = before.get(name), now.get(name)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            told.append(f"{name} ({', '.join(_changes(one, other))})")
        elif all(len(str(value)) <= _SHOWN for value in (one, other)):
            told.append(f"{name} (was {one!r}, is {other!r})")
        else:
            told.append(name)
    return told
