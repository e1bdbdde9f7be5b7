"""A row of a file as a request, and what is told of its audio in the result.

``audio_warning`` tells of audio far above full scale; ``audio_heard`` what was done to a clip before it was heard, so
far as the scorer says how it hears (`reward.hearing`); ``scored_audio`` and ``scored_reference`` are the SHA-256 of the
files that were scored, by which a later run finds out whether they are the same.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from music.clips import Clip, ClipHeader, read_clip, read_header
from music.errors import InputError
from music.hashing import sha256_file
from music.progress import progress
from music.prompts import Prompt
from reward.hearing import told_of
from reward.protocol import Scorer, ScoreRequest, hearings_of
from reward.scoring.level import AtLevel, levelled, too_loud
from reward.scoring.read_ahead import read_ahead

Row = dict[str, Any]
WARNING, HEARD = "audio_warning", "audio_heard"
_HASHES = {"audio": "scored_audio", "reference": "scored_reference"}
TOLD = (HEARD, WARNING, *_HASHES.values())


@dataclass(frozen=True)
class LoadedRow:
    """A row that is read.

    Attributes
    ----------
    request
        What is scored, or what is wrong with the row.
    told
        Fields of `TOLD` that belong to its result.
    """

    request: ScoreRequest | InputError
    told: dict[str, str] = field(default_factory=dict)


class FilesOnDisk:
    """The hashes of the files of rows, each of which is read once.

    Parameters
    ----------
    root
        Folder that paths in the rows are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, str] = {}

    def hashes(self, row: Row) -> dict[str, str]:
        """Return the hashes of the files of a row by their fields in results; those that cannot be read have none."""
        found = {name: self._hash(self.root / row[kind]) for kind, name in _HASHES.items() if row.get(kind)}
        return {name: value for name, value in found.items() if value}

    def changed(self, results: Iterable[Row], workers: int, shown: bool = False) -> set[tuple[str, ...]]:
        """Return the keys of results whose files hold something else now.

        Nothing is known of the results of earlier versions, which have no hashes, nor where a file is gone: they are
        not among them.

        Parameters
        ----------
        results
            Rows with scores, whose paths are texts.
        workers
            Threads that read.
        shown
            Whether a bar shows how far it is.
        """
        hashed = [row for row in results if any(name in row for name in _HASHES.values())]
        bar = progress(total=len(hashed), desc="compare audio", disable=not (shown and hashed))
        stale = set()
        with bar:
            for row, now in zip(hashed, read_ahead(self.hashes, hashed, workers, 4 * workers), strict=True):
                if any(row.get(name, value) != value for name, value in now.items()):
                    stale.add(self.key(row))
                bar.update(1)
        return stale

    @staticmethod
    def key(result: Row) -> tuple[str, ...]:
        """Return what tells the scores of a row's files from those of other files under the same names."""
        return (result["id"], *(str(result.get(name, "")) for name in _HASHES.values()))

    def _hash(self, path: Path) -> str:
        if path not in self._known:
            try:
                self._known[path] = sha256_file(path)
            except InputError:
                self._known[path] = ""
        return self._known[path]


def load_row(row: Row, files: FilesOnDisk, scorer: Scorer, decode: bool) -> LoadedRow:
    """Return the request of a row, with its audio decoded if that is wanted."""
    try:
        request = _request(row, files.root)
        path = request.audio
        assert isinstance(path, Path)
        told = files.hashes(row)  # before it is decoded: what changes in between has changed for the next run
        if decode:
            request = replace(request, audio=read_clip(path, scorer.max_seconds))
    except InputError as error:
        return LoadedRow(error)
    level = scorer.level if isinstance(scorer, AtLevel) else None
    told |= {WARNING: too_loud(request.audio, scorer.max_seconds, level)}
    told |= {HEARD: heard(path, request.audio, scorer, level)}
    return LoadedRow(request, {name: told[name] for name in TOLD if told.get(name)})


def heard(path: Path, audio: Path | Clip, scorer: Scorer, level: float | None = None) -> str:
    """Return in a line what is done to a clip before it is heard, so far as it is known; an empty text of nothing.

    Parameters
    ----------
    path
        Its file.
    audio
        The beginning of it that is heard, if it is decoded already.
    scorer
        The judge.
    level
        Level that it is brought to, dBFS.
    """
    try:
        header = read_header(path)
        if level is not None and isinstance(audio, Path):
            audio = read_clip(path, scorer.max_seconds)
    except InputError:
        if not isinstance(audio, Clip):
            return ""  # which the scorer tells
        # the file is damaged behind what is heard
        header = ClipHeader(audio.sample_rate, audio.channels, audio.samples)
    made = levelled(audio, level) if level is not None and isinstance(audio, Clip) else ""
    return told_of(header, hearings_of(scorer), [made] if made else [])


def sound_request(loaded: LoadedRow) -> ScoreRequest:
    """Return the request of a row; `InputError` that says what is wrong with the row."""
    if isinstance(loaded.request, InputError):
        raise loaded.request
    return loaded.request


def writable(value: Any) -> Any:
    """Return a JSON value as UTF-8 can hold it: lone surrogates, which JSON can escape, become question marks."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _request(row: Row, root: Path) -> ScoreRequest:
    for name, value in row.items():
        if writable([name, value]) != [name, value]:
            raise InputError(f"field {name!a} holds a lone surrogate, which is no character: {value!a}")
    fields = {name: row.get(name) or "" for name in ("audio", "text", "lyrics", "reference")}
    for name, value in fields.items():
        if not isinstance(value, str):
            raise InputError(f"field {name!r} must be a text, got {value!r}")
    if not fields["audio"]:
        raise InputError("field 'audio' is missing")
    reference = root / fields["reference"] if fields["reference"] else None
    prompt = Prompt(row["id"], fields["text"], fields["lyrics"], reference)
    return ScoreRequest(root / fields["audio"], prompt)
