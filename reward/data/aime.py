"""AIME's survey (Grötschla et al. 2025): which of two segments sounds better, or fits the description better.

The source is the survey's table, `audio` the folder of tracks ``<id>.<suffix>``. Segments are cut out of the tracks
once and kept.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from music.clips import Clip, read_clip, write_clip
from music.errors import InputError
from music.paths import is_file
from reward.data.rows import Items, Row, Source, UnusableError, without_empty
from reward.data.tables import table_rows

QUESTIONS = {"music quality": "musicality", "text-audio alignment": "alignment"}
ANSWERS = {"1": "a", "2": "b"}
_SUFFIXES = (".flac", ".wav", ".mp3", ".ogg")


def read(source: Source) -> Items:
    """Yield the answers."""
    for place, fields in table_rows(source.place):
        yield place, partial(_row, fields, source)


def _row(fields: Mapping[str, Any], source: Source) -> Row:
    question = str(fields.get("question-type", "")).strip()
    head = QUESTIONS.get(question.casefold())
    if head is None:
        raise UnusableError("unknown question", repr(question))
    answer = ANSWERS.get(str(fields.get("answer")).strip())
    if answer is None:
        raise UnusableError("unknown label", repr(fields.get("answer")))
    text = fields.get("description") or ""
    facts = {"source": "AIME", "model_a": fields.get("model-1"), "model_b": fields.get("model-2")}
    return {
        "text": ", ".join(map(str, text)) if isinstance(text, list) else text,
        "audio_a": _segment(fields, "1", source),
        "audio_b": _segment(fields, "2", source),
        **{f"preference_{one}": answer if one == head else "" for one in QUESTIONS.values()},
        "facts": without_empty(facts),
    }


def _segment(fields: Mapping[str, Any], number: str, source: Source) -> str:
    """Return the path of a track's part that was heard."""
    try:
        track = int(fields[f"track-{number}-id"])
        begin, end = (float(fields[f"track-{number}-{name}"]) for name in ("begin", "end"))
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableError("no segment is named", str(error)) from error
    path = source.made / f"{track:05d}_{begin:g}_{end:g}.flac"
    if not is_file(path):
        write_clip(path, _cut(_track(source.audio, track), begin, end))
    return str(path.absolute())


def _track(folder: Path, track: int) -> Path:
    for suffix in _SUFFIXES:
        path = folder / f"{track:05d}{suffix}"
        if is_file(path):
            return path
    raise UnusableError("audio is missing", str(folder / f"{track:05d}.*"))


def _cut(path: Path, begin: float, end: float) -> Clip:
    try:
        clip = read_clip(path, end)
    except InputError as error:
        raise UnusableError("audio cannot be read", str(error)) from error
    first = round(begin * clip.sample_rate)
    if not 0 <= first < clip.samples:
        raise UnusableError("the segment lies outside the track", f"{path} from {begin:g} to {end:g} s")
    return Clip(clip.waveform[:, first:].contiguous(), clip.sample_rate)
