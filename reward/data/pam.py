"""The music of PAM's listening test (Deshmukh et al. 2024): mean opinions of quality and relevance, 5 systems.

The folder is that of Zenodo record 10737388: ``human_eval/music/scores.csv`` with `File Name`, `Model`, `OVL`, `REL`
and the audio in ``human_eval/music/<Model>/<File Name>.wav``. OVL becomes musicality, REL alignment.
"""

from pathlib import Path

from music.errors import InputError
from music.files import read_csv
from reward.data.rows import Found, Skipped, Source, UnusableError, audio_of, ratings_of, without_empty

_TEXTS = ("text", "Text", "prompt", "Prompt", "caption", "Caption")


def read(source: Source) -> Found:
    """Yield the ratings."""
    folder = _folder(source.place)
    columns, rows = read_csv(folder / "scores.csv")
    for column in ("File Name", "Model", "OVL", "REL"):
        if column not in columns:
            raise InputError(f"{folder / 'scores.csv'}: column {column!r} is missing")
    for line, fields in rows:
        name, model = fields["File Name"] or "", fields["Model"] or ""
        try:
            file = f"{model}/{name}" if name.endswith(".wav") else f"{model}/{name}.wav"
            text = next((fields[column] for column in _TEXTS if fields.get(column)), "")
            yield {
                "text": text,
                "audio": audio_of(folder, file),
                **ratings_of(fields["OVL"], fields["REL"]),
                "facts": without_empty({"source": "PAM", "model": model}),
            }
        except UnusableError as error:
            yield Skipped(f"{folder / 'scores.csv'} line {line}", error.reason, error.detail)


def _folder(place: Path) -> Path:
    for folder in (place, place / "music", place / "human_eval" / "music"):
        if (folder / "scores.csv").is_file():
            return folder
    raise InputError(f"{place} holds no human_eval/music/scores.csv: this is not PAM's listening test")
