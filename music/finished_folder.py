"""Folders that are whole or not there (written beside their place, which they then take), and whose work is whose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from music.durable import write_text
from music.errors import InputError
from music.hashing import canonical_json


@contextmanager
def finished_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to; when the block ends without an error it replaces `folder`."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def claim_work(folder: Path, **facts: Any) -> None:
    """Note what a work folder was made from, and refuse to continue it from anything else.

    Raises
    ------
    InputError
        If the folder holds work that was made from other facts.
    """
    path = folder / "made_from.json"
    wanted = canonical_json(facts)
    if not path.exists():
        write_text(path, wanted + "\n")
        return
    found: Mapping[str, Any] = json.loads(path.read_text())
    if canonical_json(found) != wanted:
        now = json.loads(wanted)
        changed = [name for name in sorted({*found, *now}) if found.get(name) != now.get(name)]
        raise InputError(f"{folder} holds work with another {', '.join(changed)}: delete it to start anew")
