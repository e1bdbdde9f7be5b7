"""Rows of human judgement: preferences between two pieces of audio for one prompt, and ratings of one.

A JSON Lines file; every row has the fields

    id                      unique
    text, lyrics            the prompt; may be empty
    reference               path of the reference audio; may be empty
    facts                   anything more, carried unread

A preference also has

    audio_a, audio_b        paths
    preference_musicality   "a", "b", "tie", "both" (are good), "neither", or "" where nobody judged
    preference_alignment    the same
    confidence_musicality   confidence of the listener, from 1 to 5; may be missing
    confidence_alignment    the same

and a rating

    audio                   path
    rating_musicality       mean opinion from 1 to 5; may be missing
    rating_alignment        the same

Paths are relative to the file. A file may hold rows of both kinds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.jsonl import read_jsonl
from music.paths import check_file
from music.prompts import Prompt

HEADS = ("musicality", "alignment")
LABELS = ("a", "b", "tie", "both", "neither", "")
SCALE = (1.0, 5.0)  # of ratings and of confidence
FILE_FIELDS = ("audio", "audio_a", "audio_b", "reference")
_TEXTS = ("text", "lyrics", "reference")
_LABELS = tuple(f"preference_{head}" for head in HEADS)
_PREFERENCE = ("id", "audio_a", "audio_b", *_LABELS)
_CONFIDENCE = tuple(f"confidence_{head}" for head in HEADS)
_RATING = ("id", "audio")
_RATINGS = tuple(f"rating_{head}" for head in HEADS)


@dataclass(frozen=True)
class Preference:
    """One judged pair.

    Attributes
    ----------
    id
        Name that is unique in its file.
    prompt
        Prompt that both were made for.
    audio_a, audio_b
        The two files.
    musicality, alignment
        One of `LABELS`, ``""`` where nobody judged; at least one is not empty, unless the pair is still to be judged.
    confidence_musicality, confidence_alignment
        Confidence of the listener, from 1 to 5; None if it is not known.
    """

    id: str
    prompt: Prompt
    audio_a: Path
    audio_b: Path
    musicality: str
    alignment: str
    confidence_musicality: float | None = None
    confidence_alignment: float | None = None

    @property
    def audio(self) -> tuple[Path, ...]:
        """The files that are judged."""
        return self.audio_a, self.audio_b


@dataclass(frozen=True)
class Rating:
    """One rated piece of audio.

    Attributes
    ----------
    id
        Name that is unique in its file.
    prompt
        Prompt that it was made for.
    file
        The audio.
    musicality, alignment
        Mean opinions from 1 to 5, higher is better; None where nobody judged, which is true of one at most.
    """

    id: str
    prompt: Prompt
    file: Path
    musicality: float | None
    alignment: float | None

    @property
    def audio(self) -> tuple[Path, ...]:
        """The files that are judged."""
        return (self.file,)


Judgement = Preference | Rating


def load_judgements(path: str | Path, limit: int | None = None) -> list[Judgement]:
    """Read rows of judgement, preferences or ratings; at most `limit` from the beginning, if it is given.

    Raises
    ------
    InputError
        If a field is missing, unknown, of the wrong type or out of range, nothing is judged in a row, an id comes
        twice or an audio file is missing; the message names file and line.
    """
    return _read(Path(path), limit, labelled=True)


def load_pairs(path: str | Path, limit: int | None = None) -> list[Preference]:
    """Read pairs that are to be judged: preferences whose labels may be missing; see `load_judgements`."""
    return _preferences(_read(Path(path), limit, labelled=False), path)


def load_preferences(path: str | Path, limit: int | None = None) -> list[Preference]:
    """Read rows of judgement that are all preferences; see `load_judgements`."""
    return _preferences(load_judgements(path, limit), path)


def audio_of(rows: Iterable[Judgement]) -> list[Path]:
    """Return the files that rows name, those that are judged and references; some may come twice."""
    return [path for row in rows for path in (*row.audio, row.prompt.reference) if path is not None]


def texts_of(rows: Iterable[Judgement]) -> list[str]:
    """Return the texts and lyrics of rows; some may come twice, or be empty."""
    return [text for row in rows for text in (row.prompt.text, row.prompt.lyrics)]


def _read(path: Path, limit: int | None, labelled: bool) -> list[Judgement]:
    lines: dict[str, int] = {}
    judgements: list[Judgement] = []
    for line, row in read_jsonl(path, torn_end=False)[:limit]:
        try:
            judgement = judgement_of(row, path.parent, labelled)
            if judgement.id in lines:
                raise InputError(f"id {judgement.id!r} comes twice, first in line {lines[judgement.id]}")
        except InputError as error:
            raise InputError(f"{path} line {line}: {error}") from error
        lines[judgement.id] = line
        judgements.append(judgement)
    if not judgements:
        raise InputError(f"{path} holds no preferences or ratings")
    return judgements


def judgement_of(row: Mapping[str, Any], folder: Path, labelled: bool = True) -> Judgement:
    """Return the judgement of a row whose paths are relative to a folder; see `load_judgements`.

    Raises
    ------
    InputError
        If it is none; the message names the field.
    """
    return _rating(row, folder) if "audio" in row else _preference(row, folder, labelled)


def _preferences(rows: Sequence[Judgement], path: str | Path) -> list[Preference]:
    preferences = []
    for row in rows:
        if not isinstance(row, Preference):
            raise InputError(f"{path}: row {row.id!r} is a rating, expected preferences alone")
        preferences.append(row)
    return preferences


def _preference(row: Mapping[str, Any], folder: Path, labelled: bool) -> Preference:
    if not labelled:
        row = {**dict.fromkeys(_LABELS, ""), **row}
    _check_fields(row, _PREFERENCE, _CONFIDENCE)
    labels = [row[name] for name in _LABELS]
    for name, label in zip(_LABELS, labels, strict=True):
        if label not in LABELS:
            raise InputError(f"{name} must be one of {json.dumps(LABELS)}, got {label!r}")
    if labelled and not any(labels):
        raise InputError("no preference is given")
    audio_a, audio_b = (_file(row, name, folder) for name in ("audio_a", "audio_b"))
    sure = [_number(row, name) for name in _CONFIDENCE]
    return Preference(row["id"], _prompt(row, folder), audio_a, audio_b, *labels, *sure)


def _rating(row: Mapping[str, Any], folder: Path) -> Rating:
    _check_fields(row, _RATING, _RATINGS)
    musicality, alignment = (_number(row, name) for name in _RATINGS)
    if musicality is None and alignment is None:
        raise InputError("no rating is given")
    return Rating(row["id"], _prompt(row, folder), _file(row, "audio", folder), musicality, alignment)


def _check_fields(row: Mapping[str, Any], texts: Sequence[str], numbers: Sequence[str]) -> None:
    for name in texts:
        if name not in row:
            raise InputError(f"field {name!r} is missing")
    for name, value in row.items():
        if name not in (*texts, *numbers, *_TEXTS, "facts"):
            raise InputError(f"unknown field {name!r} (put anything else into facts)")
        empty = name in _TEXTS and value is None
        if name in (*texts, *_TEXTS) and not empty and not isinstance(value, str):
            raise InputError(f"field {name!r} must be a text, got {value!r}")
    if not row["id"]:
        raise InputError("the id is empty")
    if not isinstance(row.get("facts"), dict | None):
        raise InputError(f"field 'facts' must be an object, got {row['facts']!r}")


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value, (low, high) = row.get(name), SCALE
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def _prompt(row: Mapping[str, Any], folder: Path) -> Prompt:
    reference = _file(row, "reference", folder) if row.get("reference") else None
    text, lyrics, facts = row.get("text") or "", row.get("lyrics") or "", row.get("facts") or {}
    return Prompt(row["id"], text, lyrics, reference, facts)


def _file(row: Mapping[str, Any], name: str, folder: Path) -> Path:
    file = folder / row[name]
    check_file(file, name)
    return file
