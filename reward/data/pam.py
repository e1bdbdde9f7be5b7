"""The music of PAM's listening test (Deshmukh et al. 2024): mean opinions of quality and relevance, 5 systems.

The folder is that of Zenodo record 10737388: ``human_eval/music/scores.csv`` with `File Name`, `Model`, `OVL`, `REL`
and the audio in ``human_eval/music/<Model>/<File Name>.wav``. OVL becomes musicality, REL alignment.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from music.errors import InputError
from music.files import read_csv
from music.paths import is_file
from reward.data.rows import Items, Row, Source, audio_path, ratings_of, without_empty

_TEXTS = ("text", "Text", "prompt", "Prompt", "caption", "Caption")


def read(source: Source) -> Items:
    """Yield the ratings."""
    folder = _folder(source.place)
    columns, rows = read_csv(folder / "scores.csv")
    for column in ("File Name", "Model", "OVL", "REL"):
        if column not in columns:
            raise InputError(f"{folder / 'scores.csv'}: column {column!r} is missing")
    for line, fields in rows:
        yield f"{folder / 'scores.csv'} line {line}", partial(_row, fields, folder)


def _row(fields: Mapping[str, str | None], folder: Path) -> Row:
    name, model = fields["File Name"] or "", fields["Model"] or ""
    return {
        "text": next((fields[column] for column in _TEXTS if fields.get(column)), ""),
        "audio": audio_path(folder, f"{model}/{name.removesuffix('.wav')}.wav"),
        **ratings_of(fields["OVL"], fields["REL"]),
        "facts": without_empty({"source": "PAM", "model": model}),
    }


def _folder(place: Path) -> Path:
    for folder in (place, place / "music", place / "human_eval" / "music"):
        if is_file(folder / "scores.csv"):
            return folder
    raise InputError(f"{place} holds no human_eval/music/scores.csv: this is not PAM's listening test")
