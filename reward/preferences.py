"""Preference rows: two pieces of audio for one prompt, and which one listeners preferred.

A JSON Lines file with the fields

    id                      unique
    audio_a, audio_b        paths
    text, lyrics            the prompt; may be empty
    reference               path of the reference audio; may be empty
    preference_musicality   "a", "b", "tie", or "" where nobody judged
    preference_alignment    the same
    facts                   anything else, carried unread

Paths are relative to the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.jsonl import read_jsonl
from music.prompts import Prompt

HEADS = ("musicality", "alignment")
LABELS = ("a", "b", "tie", "")
_TEXTS = ("text", "lyrics", "reference")
_REQUIRED = ("id", "audio_a", "audio_b", *(f"preference_{head}" for head in HEADS))


@dataclass(frozen=True)
class Preference:
    """One judged pair.

    Attributes
    ----------
    id
        Unique in its file.
    prompt
        What both were made for.
    audio_a, audio_b
        The two files.
    musicality, alignment
        ``"a"``, ``"b"``, ``"tie"``, or ``""`` where nobody judged; at least one is not empty.
    """

    id: str
    prompt: Prompt
    audio_a: Path
    audio_b: Path
    musicality: str
    alignment: str


def load_preferences(path: str | Path, limit: int | None = None) -> list[Preference]:
    """Read preference rows.

    Parameters
    ----------
    path
        The file.
    limit
        Take only the first so many.

    Raises
    ------
    InputError
        If a field is missing, unknown or of the wrong type, a label is none of a, b, tie and empty, both are
        empty, an id comes twice or an audio file is missing; the message names file and line.
    """
    path = Path(path)
    lines: dict[str, int] = {}
    preferences = []
    for line, row in read_jsonl(path, torn_end=False)[:limit]:
        preference = _preference(row, path, f"{path} line {line}")
        if preference.id in lines:
            first = lines[preference.id]
            raise InputError(f"{path} line {line}: id {preference.id!r} comes twice, first in line {first}")
        lines[preference.id] = line
        preferences.append(preference)
    if not preferences:
        raise InputError(f"{path} holds no preferences")
    return preferences


def _preference(row: Mapping[str, Any], path: Path, where: str) -> Preference:
    for name in _REQUIRED:
        if name not in row:
            raise InputError(f"{where}: field {name!r} is missing")
    for name, value in row.items():
        if name not in (*_REQUIRED, *_TEXTS, "facts"):
            raise InputError(f"{where}: unknown field {name!r} (put anything else into facts)")
        if name != "facts" and not isinstance(value, str) and not (name in _TEXTS and value is None):
            raise InputError(f"{where}: field {name!r} must be a text, got {value!r}")
    labels = {head: row[f"preference_{head}"] for head in HEADS}
    for head, label in labels.items():
        if label not in LABELS:
            raise InputError(f'{where}: preference_{head} must be "a", "b", "tie" or "", got {label!r}')
    if not row["id"] or not any(labels.values()):
        raise InputError(f"{where}: {'no preference is given' if row['id'] else 'the id is empty'}")
    reference = _file(row["reference"], path, "reference", where) if row.get("reference") else None
    prompt = Prompt(
        row["id"], row.get("text") or "", row.get("lyrics") or "", reference, row.get("facts") or {}
    )
    audio_a, audio_b = (_file(row[name], path, name, where) for name in ("audio_a", "audio_b"))
    return Preference(row["id"], prompt, audio_a, audio_b, labels["musicality"], labels["alignment"])


def _file(name: str, path: Path, field: str, where: str) -> Path:
    file = path.parent / name
    if not file.is_file():
        raise InputError(f"{where}: {field} {file} does not exist")
    return file
