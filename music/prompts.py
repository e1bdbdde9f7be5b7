"""Prompts: what a piece of music should be, and the files they are read from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from music.clips import read_clip
from music.errors import InputError
from music.files import read_lines
from music.hashing import path_name, sha256_file, sha256_text
from music.jsonl import read_jsonl
from music.musiccaps import SELECTIONS, SUFFIXES, download_musiccaps, read_musiccaps
from music.paths import check_file, exists, is_file, is_folder
from music.shipped_files import asset

_SHIPPED = {
    "lab": "lab/prompts.jsonl",
    "lab-train": "lab/prompts_train.jsonl",
    "lab-choosing": "lab/prompts_choosing.jsonl",
    "lab-held-out": "lab/prompts_held_out.jsonl",
}
_FIELDS = ("id", "text", "lyrics", "reference", "facts")
_KNOWN_SUFFIXES = (".jsonl", ".txt", *SUFFIXES)


@dataclass(frozen=True)
class Prompt:
    """One request for music.

    Attributes
    ----------
    id
        Unique and stable: the same id always means the same text, lyrics and reference.
    text
        The description, never empty.
    lyrics
        What is sung; empty if nothing is.
    reference
        An audio file whose style is asked for.
    facts
        Anything else that belongs to the prompt, carried unread.
    """

    id: str
    text: str
    lyrics: str = ""
    reference: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)


def load_prompts(source: str | Path, limit: int | None = None) -> list[Prompt]:
    """Read prompts.

    Parameters
    ----------
    source
        One of: a shipped set (``lab``, ``lab-train``, ``lab-choosing``, ``lab-held-out``); a ``.jsonl`` file with rows
        ``id, text`` and optionally ``lyrics``, ``reference`` (a path relative to the file) and ``facts``; a ``.txt``
        file with a prompt a line (blank lines are skipped, ids come from the text); MusicCaps, as a ``.csv`` or
        ``.parquet`` file or the hub id of a data set that holds its CSV, such as ``google/MusicCaps``. Of MusicCaps
        the rows of the evaluation split are taken; ``SOURCE:SELECTION`` takes others: ``google/MusicCaps:balanced``,
        ``musiccaps.csv:all``, ``musiccaps.csv:ids.txt`` (see `music.musiccaps`). Several words that name no file are
        one prompt with this text.
    limit
        Take only the first so many.

    Raises
    ------
    InputError
        If the source cannot be found, a field is missing, empty, unknown or of the wrong type, an id comes
        twice, or a reference is missing or cannot be read as audio; the message names file, line and field.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, got {limit}")
    prompts = _read(str(source))
    _refuse_twins(prompts, source)
    if not prompts:
        raise InputError(f"{source} holds no prompt")
    _refuse_bad_references(prompts[:limit], source)
    return [prompt for _, prompt in prompts[:limit]]


def prompts_record(source: str | Path, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Return what identifies the prompts of a run, for its record.

    Returns
    -------
    dict
        ``source`` as it was given; ``count``; ``ids_sha256``: SHA-256 of the ids in their order, each followed by
        a newline, so that ``sha256sum`` of a plain list of them gives it; and ``id_list_sha256`` of the file, if
        the source names a list of ids.
    """
    ids = "".join(f"{prompt.id}\n" for prompt in prompts)
    record = {"source": str(source), "count": len(prompts), "ids_sha256": sha256_text(ids)}
    selection = "" if _is_text(str(source)) else _split(str(source))[1]
    if selection and selection not in SELECTIONS:
        record["id_list_sha256"] = sha256_file(selection)
    return record


def _split(source: str) -> tuple[str, str]:
    """Return what comes before and after the last colon, unless that belongs to the name of a file."""
    place, colon, selection = source.rpartition(":")
    return (place, selection) if colon and not is_file(source) else (source, "")


def _is_text(source: str) -> bool:
    """Tell whether a source is itself a prompt: several words that are no file, and no selection from one.

    Two words with a slash, or a text that begins as a path does, are rather a path that is mistyped.
    """
    place, selection = _split(source)
    names = (Path(source).suffix, Path(place).suffix)
    is_named = exists(source) or place.strip() in _SHIPPED or any(name in _KNOWN_SUFFIXES for name in names)
    is_path = source.startswith(("/", "./", "../", "~"))
    enough = len(source.split()) > (2 if "/" in source else 1)
    return enough and not is_path and not is_named and selection.strip() not in SELECTIONS


def prompt_from_text(text: str) -> Prompt:
    """Return the prompt of a bare text, whose id comes from it."""
    return Prompt(path_name(text, digits=8), text)


def _read(source: str) -> list[tuple[str, Prompt]]:
    """Return the prompts and where each stands, such as "line 4"."""
    if _is_text(source):
        return [("", prompt_from_text(source.strip()))]
    place, selection = _split(source)
    path = Path(place)
    if place not in _SHIPPED and is_folder(path):
        raise InputError(f"prompts {place} is a folder: name the file with the prompts")
    if place in _SHIPPED and not is_file(path):
        path = asset(_SHIPPED[place])
    elif place.count("/") == 1 and path.suffix not in _KNOWN_SUFFIXES and not is_file(path):
        path = download_musiccaps(place)
    if path.suffix not in _KNOWN_SUFFIXES:
        known = ", ".join(sorted(_SHIPPED))
        raise InputError(
            f"unknown prompts {source!r}: expected a .jsonl, .txt, .csv or .parquet file, one of {known}, a hub id, "
            "or a text of several words"
        )
    check_file(path, "prompts file")
    if path.suffix in SUFFIXES:
        return _read_musiccaps(path, selection or "eval")
    if selection:
        raise InputError(f"{place} takes no selection, got {selection!r}: only MusicCaps does")
    return _read_jsonl(path) if path.suffix == ".jsonl" else _read_txt(path)


def _read_musiccaps(path: Path, selection: str) -> list[tuple[str, Prompt]]:
    if selection not in SELECTIONS and not is_file(selection):
        known = ", ".join(SELECTIONS)
        raise InputError(
            f"unknown selection {selection!r} of {path}: expected {known}, or a file with an id a line"
        )
    return [(place, Prompt(**row)) for place, row in read_musiccaps(path, selection)]


def _read_jsonl(path: Path) -> list[tuple[str, Prompt]]:
    rows = read_jsonl(path, torn_end=False)
    return [(f"line {line}", prompt_from_row(row, path, line)) for line, row in rows]


def prompt_from_row(row: Mapping[str, Any], path: Path, line: int, fields: Iterable[str] = _FIELDS) -> Prompt:
    """Return the prompt of one row of a JSON Lines file, checked field by field.

    Parameters
    ----------
    row
        The fields ``id, text`` and optionally ``lyrics``, ``reference``, ``facts``.
    path, line
        Where it comes from, for messages; references are relative to the folder of `path`.
    fields
        The fields that a row may have.

    Raises
    ------
    InputError
        Naming file, line and field.
    """
    place = f"{path} line {line}"
    if unknown := sorted(set(row) - set(fields)):
        raise InputError(
            f"{place}: unknown field {unknown[0]!r}, expected {', '.join(_FIELDS)} (facts takes the rest)"
        )
    identity = _text(row, "id", place)
    text = _text(row, "text", place)
    lyrics = row.get("lyrics") or ""
    reference = row.get("reference") or None
    facts = row.get("facts") or {}
    if not isinstance(lyrics, str):
        raise InputError(f"{place}: field 'lyrics' must be a text, got {json.dumps(lyrics)}")
    if not isinstance(facts, dict):
        raise InputError(f"{place}: field 'facts' must be an object, got {json.dumps(facts)}")
    if reference is not None and not isinstance(reference, str):
        raise InputError(f"{place}: field 'reference' must be a path, got {json.dumps(reference)}")
    file = None if reference is None else (path.parent / reference).absolute()
    if file is not None:
        check_file(file, f"{place}: reference")
    return Prompt(identity, text, lyrics, file, facts)


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    if name not in row:
        raise InputError(f"{place}: field {name!r} is missing")
    value = row[name]
    if not isinstance(value, str):
        raise InputError(f"{place}: field {name!r} must be a text, got {json.dumps(value)}")
    if not value.strip():
        raise InputError(f"{place}: field {name!r} is empty")
    return value


def _read_txt(path: Path) -> list[tuple[str, Prompt]]:
    return [(f"line {number}", prompt_from_text(text)) for number, text in read_lines(path)]


def _refuse_twins(prompts: Iterable[tuple[str, Prompt]], source: str | Path) -> None:
    places: dict[str, str] = {}
    for place, prompt in prompts:
        if prompt.id in places:
            raise InputError(f"{source} {place}: id {prompt.id!r} comes twice, first in {places[prompt.id]}")
        places[prompt.id] = place


def _refuse_bad_references(prompts: Iterable[tuple[str, Prompt]], source: str | Path) -> None:
    """Read every reference once: better now than in the middle of the run."""
    read = set()
    for place, prompt in prompts:
        if prompt.reference is not None and prompt.reference not in read:
            read.add(prompt.reference)
            try:
                read_clip(prompt.reference)
            except InputError as error:
                raise InputError(f"{source} {place}: field 'reference': {error}") from error
