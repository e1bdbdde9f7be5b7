"""SongEval (Yao et al. 2025) and sets of its kind: several listeners rate aspects of a song from 1 to 5.

A folder with ``metadata.jsonl`` as the hub's audio folders have it: `file_name`, `annotation`, a list with a table of
aspects for each listener, and perhaps `text` and `lyrics`. The mean of the aspect `Musicality` is taken as musicality;
songs have no prompt, so nobody judged alignment. The means of the other aspects are kept as facts.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from music.errors import InputError
from music.paths import is_file, is_folder
from reward.data.rows import Items, Row, Source, UnusableError, audio_path, number_of
from reward.data.tables import table_rows

MUSICALITY = "Musicality"


def read(source: Source) -> Items:
    """Yield the ratings."""
    table = source.place / "metadata.jsonl" if is_folder(source.place) else source.place
    if not is_file(table):
        raise InputError(f"{table} does not exist: expected an audio folder with its metadata")
    for place, fields in table_rows(table):
        yield place, partial(_row, fields, source)


def _row(fields: Mapping[str, Any], source: Source) -> Row:
    listeners = fields.get("annotation") or []
    if not isinstance(listeners, list) or not all(isinstance(one, Mapping) for one in listeners):
        raise UnusableError("annotation is no list of tables", repr(listeners)[:60])
    given: dict[str, list[float]] = {}
    for one in listeners:
        for aspect, value in one.items():
            number = number_of(value, "a rating")
            if number is not None:
                given.setdefault(aspect, []).append(number)
    means = {aspect: sum(values) / len(values) for aspect, values in given.items()}
    if MUSICALITY not in means:
        raise UnusableError("nobody judged it", f"no {MUSICALITY}")
    return {
        "text": fields.get("text") or "",
        "lyrics": fields.get("lyrics") or "",
        "audio": audio_path(source.audio, fields.get("file_name")),
        "rating_musicality": means.pop(MUSICALITY),
        "facts": {"source": "SongEval", "listeners": len(listeners), **means},
    }
