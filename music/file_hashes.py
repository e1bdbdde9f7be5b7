"""SHA-256 of files, remembered: terabytes of audio are not read again to learn that they are what they were.

A file counts as unchanged while its size and the times of its last change are the same, that of its content and that
which the system keeps by itself, as for git. A file that was changed less than two seconds before it was read is not
remembered, for it could change again within the same tick of the file system's clock.
"""

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from music.durable import write_text
from music.hashing import sha256_file, sha256_text
from music.jsonl import dump_line, read_jsonl

_PREFIX = "files-"
_OURS = f"{_PREFIX}{'[0-9a-f]' * 24}.jsonl"  # no list of files that a user has put there
_FIELDS = ("path", "size", "modified_ns", "changed_ns", "sha256")
FileState = tuple[str, int, int, int]
_TICK_NS = 2_000_000_000


def file_hashes(paths: Iterable[Path], memory: Path | None = None) -> dict[Path, str]:
    """Return the SHA-256 of each distinct path.

    Parameters
    ----------
    paths
        Files.
    memory
        A folder that remembers them; several processes may use it. What is new is added in a file of its own, written
        whole.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    known = {} if memory is None else _known(memory)
    states = {path: file_state(path) for path in dict.fromkeys(paths)}
    unknown = {state: path for path, state in states.items() if state not in known}
    new = []
    with ThreadPoolExecutor() as threads:  # hashing leaves the others free
        for state, (began, digest) in zip(unknown, threads.map(_hash, unknown.values()), strict=True):
            known[state] = digest
            if is_settled(state, began) and file_state(unknown[state]) == state:
                new.append(dict(zip(_FIELDS, (*state, digest), strict=True)))
    if memory is not None and new:
        lines = "".join(map(dump_line, new))
        write_text(memory / f"{_PREFIX}{sha256_text(lines)[:24]}.jsonl", lines, owner=os.getpid())
    return {path: known[state] for path, state in states.items()}


def _hash(path: Path) -> tuple[int, str]:
    """Return when it was begun, ns, and the SHA-256."""
    return time.time_ns(), sha256_file(path)


def _known(memory: Path) -> dict[FileState, str]:
    rows = [row for path in sorted(memory.glob(_OURS)) for _, row in read_jsonl(path)]
    return {tuple(row[name] for name in _FIELDS[:-1]): row["sha256"] for row in rows}


def file_state(path: Path) -> FileState:
    """Return what changes when a file does: its path, size, and the times of its last change in ns."""
    try:
        stat = path.stat()
    except OSError:
        return str(path.absolute()), -1, 0, 0  # which `sha256_file` refuses
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def is_settled(state: FileState, read_ns: int) -> bool:
    """Return whether a file of this state, read at that time, cannot have been changed since within the same tick."""
    return state[2] < read_ns - _TICK_NS
