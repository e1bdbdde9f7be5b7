"""MusicCaps (Agostinelli et al. 2023): captions of 5,521 clips, from its CSV, a parquet copy or the hub.

Which of them are prompts is a selection:

    eval        2,858 rows with ``is_audioset_eval``; what is usually evaluated on
    balanced    1,000 rows, balanced by genre: ``is_balanced_subset``
    train       2,663 rows, those without ``is_audioset_eval``
    all         every row
    a file      the ids that it lists, one a line, in its order
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.files import parquet_columns, read_csv, read_lines, read_parquet
from music.hub import hub_errors

# selection: the column that decides, and what it must be
SELECTIONS: dict[str, tuple[str, bool] | None] = {
    "eval": ("is_audioset_eval", True),
    "balanced": ("is_balanced_subset", True),
    "train": ("is_audioset_eval", False),
    "all": None,
}
SUFFIXES = (".csv", ".parquet")
_HUB_FILE = "musiccaps-public.csv"
_REQUIRED = ("ytid", "caption", "is_audioset_eval")
_NUMBERS = ("start_s", "end_s", "author_id")
_FLAGS = ("is_balanced_subset", "is_audioset_eval")
_COLUMNS = (*_REQUIRED, *_NUMBERS, *_FLAGS, "audioset_positive_labels", "aspect_list")

Located = tuple[str, Mapping[str, Any]]  # "line 4", and the row that stands there


def read_musiccaps(path: Path, selection: str = "eval") -> list[tuple[str, dict[str, Any]]]:
    """Read the selected captions.

    Parameters
    ----------
    path
        A ``.csv`` or ``.parquet`` file.
    selection
        One of `SELECTIONS`, or a file with an id a line; blank lines do not count.

    Returns
    -------
    list
        Where a row stands ("line 4" of a CSV, "row 3" of a parquet file), and its ``id``, ``text`` and
        ``facts``: the other columns of MusicCaps, `aspect_list` as a list. Both formats give the same.

    Raises
    ------
    InputError
        If a column is missing, a field of a selected row is not what it must be, or a listed id is unknown
        or comes twice; the message names file, line and field.
    """
    rows = list(_parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path))
    if selection not in SELECTIONS:
        rows = _listed(rows, path, Path(selection))
    elif rule := SELECTIONS[selection]:
        column, wanted = rule
        rows = [(place, row) for place, row in rows if _flag(row, column, f"{path} {place}") is wanted]
    return [(place, _prompt(row, f"{path} {place}")) for place, row in rows]


def download_musiccaps(repository: str) -> Path:
    """Return the CSV of a data set on the hub, such as ``google/MusicCaps``.

    Raises
    ------
    InputError
        If the hub does not give it.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(repository, f"there is no file {repository!r}", "data set"):
        folder = Path(snapshot_download(repository, repo_type="dataset", allow_patterns=[_HUB_FILE]))
    if not (folder / _HUB_FILE).is_file():
        raise InputError(
            f"there is no file {repository!r}, and that data set on the hub holds no {_HUB_FILE}"
        )
    return folder / _HUB_FILE


def _csv_rows(path: Path) -> Iterator[Located]:
    columns, rows = read_csv(path)
    _check_columns(f"{path} line 1", columns)
    for line, row in rows:
        yield f"line {line}", row


def _parquet_rows(path: Path) -> Iterator[Located]:
    _check_columns(str(path), parquet_columns(path))
    # not the audio that some copies hold
    for number, row in enumerate(read_parquet(path, _COLUMNS), start=1):
        yield f"row {number}", row


def _check_columns(place: str, columns: Any) -> None:
    for column in _REQUIRED:
        if column not in columns:
            raise InputError(f"{place}: column {column!r} is missing; this is not MusicCaps")


def _listed(rows: list[Located], path: Path, listing: Path) -> list[Located]:
    known: dict[str, Located] = {}
    for place, row in rows:
        if known.setdefault(row["ytid"], (place, row))[0] != place:
            first = known[row["ytid"]][0]
            raise InputError(f"{path} {place}: id {row['ytid']!r} comes twice, first in {first}")
    lines: dict[str, int] = {}
    for number, identity in read_lines(listing):
        if identity not in known:
            raise InputError(f"{listing} line {number}: {path} has no ytid {identity!r}")
        if identity in lines:
            raise InputError(
                f"{listing} line {number}: id {identity!r} comes twice, first in line {lines[identity]}"
            )
        lines[identity] = number
    return [known[identity] for identity in lines]


def _prompt(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    facts: dict[str, Any] = {name: _number(row, name, place) for name in _NUMBERS if name in row}
    facts |= {name: _flag(row, name, place) for name in _FLAGS if name in row}
    if "audioset_positive_labels" in row:
        facts["audioset_positive_labels"] = row["audioset_positive_labels"] or ""
    if "aspect_list" in row:
        facts["aspect_list"] = _aspects(row["aspect_list"], place)
    return {"id": _text(row, "ytid", place), "text": _text(row, "caption", place), "facts": facts}


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row[name]
    if not isinstance(value, str | None):
        raise InputError(f"{place}: field {name!r} must be a text, got {value!r}")
    if not value or not value.strip():
        raise InputError(f"{place}: field {name!r} is empty")
    return value


def _flag(row: Mapping[str, Any], name: str, place: str) -> bool:
    value = row.get(name)
    flags = {"True": True, "False": False, True: True, False: False}
    if not isinstance(value, str | bool) or value not in flags:
        raise InputError(f"{place}: field {name!r} must be True or False, got {value!r}")
    return flags[value]


def _number(row: Mapping[str, Any], name: str, place: str) -> int:
    value = row[name]
    try:
        if isinstance(value, str | int):
            return int(value)
    except ValueError:
        pass
    raise InputError(f"{place}: field {name!r} must be a whole number, got {value!r}")


def _aspects(value: Any, place: str) -> list[str]:
    """Return the aspects; the CSV has a Python list as text, which is parsed and never run."""
    aspects = value
    if isinstance(value, str):
        try:
            aspects = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            aspects = None
    if not isinstance(aspects, list) or not all(isinstance(aspect, str) for aspect in aspects):
        shown = repr(value) if len(repr(value)) <= 60 else f"{value!r:.57}..."
        raise InputError(f"{place}: field 'aspect_list' must be a list of texts in quotes, got {shown}")
    return aspects
