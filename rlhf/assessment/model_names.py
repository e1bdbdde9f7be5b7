"""Short names for the models of a table, from where they lie.

``runs/grpo/model`` is grpo, ``runs/grpo/rounds/0/model`` round_0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from music.command import split_names
from music.errors import InputError
from rlhf.assessment.comparison import BASE

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def named_models(text: str) -> dict[str, str]:
    """Return models by name.

    Parameters
    ----------
    text
        Folders, names or hub ids, or ``NAME=FOLDER``, with commas between. Those without a name are called after as few
        folders of their path as tell them apart.

    Raises
    ------
    InputError
        If there is none, a name comes twice, or it cannot be the name of a folder.
    """
    given = [one.rpartition("=")[::2] for one in split_names(text)]
    if not given:
        raise InputError("--models: name the folders of trained models, with commas between")
    derived = iter(_told_apart([place for name, place in given if not name]))
    found: dict[str, str] = {}
    for name, place in given:
        name = name.strip() or next(derived)
        if name == BASE or name in found or not _SAFE.fullmatch(name):
            raise InputError(
                f"--models: {place} cannot be called {name!r}: give each a name of its own of letters, digits, '.', "
                f"'_' and '-' other than {BASE!r}, as NAME={place}"
            )
        found[name] = place.strip()
    return found


def _told_apart(places: Sequence[str]) -> list[str]:
    parts = [_parts(place) for place in places]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["-".join(one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            break
    return names if parts else []


def _parts(place: str) -> list[str]:
    """Return the telling parts of a path: without ``model`` at its end, ``rounds/0`` as round_0."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "_", part) for part in Path(place).parts if part not in ("/", "..")]
    if len(parts) > 1 and parts[-1] == "model":
        parts.pop()
    if len(parts) > 1 and parts[-2] == "rounds" and parts[-1].isdecimal():
        parts[-2:] = [f"round_{parts[-1]}"]
    return parts or [place]
