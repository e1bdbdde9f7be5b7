"""Prompts: what a piece of music shall be, and the files they are read from."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from music.clips import read_clip
from music.errors import InputError
from music.hashing import path_name
from music.jsonl import read_jsonl
from music.shipped_files import asset

_SHIPPED = {"lab": "lab/prompts.jsonl"}
_FIELDS = ("id", "text", "lyrics", "reference", "facts")
_MUSICCAPS_FILE = "musiccaps-public.csv"
_MUSICCAPS_COLUMNS = ("ytid", "caption", "is_audioset_eval")


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
        One of: a shipped set (``lab``); a ``.jsonl`` file with rows ``id, text`` and optionally ``lyrics``,
        ``reference`` (a path relative to the file) and ``facts``; a ``.txt`` file with a prompt a line (blank
        lines are skipped, ids come from the text); a MusicCaps ``.csv``, of which the rows with
        ``is_audioset_eval`` are taken; the hub id of a data set that holds one, such as ``google/MusicCaps``.
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


def _read(source: str) -> list[tuple[int, Prompt]]:
    path = Path(source)
    readers: dict[str, Callable[[Path], list[tuple[int, Prompt]]]]
    readers = {".jsonl": _read_jsonl, ".txt": _read_txt, ".csv": _read_musiccaps}
    if source in _SHIPPED and not path.is_file():
        path = asset(_SHIPPED[source])
    elif source.count("/") == 1 and path.suffix not in readers and not path.is_file():
        path = _from_hub(source)
    if path.suffix not in readers:
        known = ", ".join(sorted(_SHIPPED))
        raise InputError(
            f"unknown prompts {source!r}: expected a .jsonl, .txt or .csv file, one of {known}, or a hub id"
        )
    if not path.is_file():
        raise InputError(f"prompts file {path} does not exist")
    return readers[path.suffix](path)


def _read_jsonl(path: Path) -> list[tuple[int, Prompt]]:
    return [(line, prompt_from_row(row, path, line)) for line, row in read_jsonl(path, torn_end=False)]


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
    where = f"{path} line {line}"
    if unknown := sorted(set(row) - set(fields)):
        raise InputError(
            f"{where}: unknown field {unknown[0]!r}, expected {', '.join(_FIELDS)} (facts takes the rest)"
        )
    identity = _text(row, "id", where)
    text = _text(row, "text", where)
    lyrics = row.get("lyrics") or ""
    reference = row.get("reference") or None
    facts = row.get("facts") or {}
    if not isinstance(lyrics, str):
        raise InputError(f"{where}: field 'lyrics' must be a text, got {json.dumps(lyrics)}")
    if not isinstance(facts, dict):
        raise InputError(f"{where}: field 'facts' must be an object, got {json.dumps(facts)}")
    if reference is not None and not isinstance(reference, str):
        raise InputError(f"{where}: field 'reference' must be a path, got {json.dumps(reference)}")
    file = None if reference is None else (path.parent / reference).absolute()
    if file is not None and not file.is_file():
        raise InputError(f"{where}: reference {file} does not exist")
    return Prompt(identity, text, _encodable(lyrics, "lyrics", where), file, facts)


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    if name not in row:
        raise InputError(f"{where}: field {name!r} is missing")
    value = row[name]
    if not isinstance(value, str):
        raise InputError(f"{where}: field {name!r} must be a text, got {json.dumps(value)}")
    if not value.strip():
        raise InputError(f"{where}: field {name!r} is empty")
    return _encodable(value, name, where)


def _encodable(text: str, name: str, where: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: field {name!r} holds half a Unicode surrogate pair, not a character"
        ) from error
    return text


def _read_txt(path: Path) -> list[tuple[int, Prompt]]:
    texts = [(number, line.strip()) for number, line in enumerate(_decoded(path).split("\n"), start=1)]
    return [(number, Prompt(path_name(text, digits=8), text)) for number, text in texts if text]


def _read_musiccaps(path: Path) -> list[tuple[int, Prompt]]:
    reader = csv.DictReader(_decoded(path).splitlines(keepends=True), strict=True)
    for column in _MUSICCAPS_COLUMNS:
        if column not in (reader.fieldnames or ()):
            raise InputError(f"{path} line 1: column {column!r} is missing; a .csv of prompts is MusicCaps")
    prompts = []
    try:
        for row in reader:
            where = f"{path} line {reader.line_num}"
            if row["is_audioset_eval"] not in ("True", "False"):
                raise InputError(
                    f"{where}: is_audioset_eval must be True or False, got {row['is_audioset_eval']!r}"
                )
            if row["is_audioset_eval"] == "True":
                facts = {key: value for key, value in row.items() if key not in ("ytid", "caption") and key}
                prompt = Prompt(_text(row, "ytid", where), _text(row, "caption", where), facts=facts)
                prompts.append((reader.line_num, prompt))
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: not CSV ({error})") from error
    return prompts


def _decoded(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _from_hub(repository: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, _MUSICCAPS_FILE, repo_type="dataset"))
    except (OSError, ValueError) as error:  # the hub's errors and its failures to connect are all of these
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"no file {repository!r}, and no such data set with {_MUSICCAPS_FILE}: {reason}"
        ) from error


def _refuse_twins(prompts: Iterable[tuple[int, Prompt]], source: str | Path) -> None:
    lines: dict[str, int] = {}
    for line, prompt in prompts:
        if prompt.id in lines:
            raise InputError(
                f"{source} line {line}: id {prompt.id!r} comes twice, first in line {lines[prompt.id]}"
            )
        lines[prompt.id] = line


def _refuse_bad_references(prompts: Iterable[tuple[int, Prompt]], source: str | Path) -> None:
    """Read every reference once: better now than in the middle of the run."""
    read = set()
    for line, prompt in prompts:
        if prompt.reference is not None and prompt.reference not in read:
            read.add(prompt.reference)
            try:
                read_clip(prompt.reference)
            except InputError as error:
                raise InputError(f"{source} line {line}: field 'reference': {error}") from error
