"""What readers of published sets share: rows, why none can be made, and what labels are called."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.durable import write_bytes
from music.errors import InputError
from music.paths import check_file, is_file
from reward.judgements import HEADS, SCALE

_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}$")
Row = dict[str, Any]  # of `reward.judgements`, with absolute paths and without an id


#: where each item of a set stands, and what makes a row of it or raises `UnusableError`
Items = Iterator[tuple[str, Callable[[], Row]]]


@dataclass(frozen=True)
class Source:
    """A set that is to be read.

    Attributes
    ----------
    place
        File or folder.
    audio
        Folder that paths of audio are relative to.
    split
        Part to read; all if empty.
    vote
        Head, or "both", that a vote without a question counts for.
    made
        Folder for audio that has to be cut or unpacked.
    """

    place: Path
    audio: Path
    split: str
    vote: str
    made: Path


#: names of labels in the published sets -> ours
PUBLISHED_LABELS = {
    "": "",
    "a": "a",
    "model_a": "a",
    "b": "b",
    "model_b": "b",
    "tie": "tie",
    "both": "both",
    "neither": "neither",
    "both_bad": "neither",
    "both_good": "both",
}


class UnusableError(ValueError):
    """An item from which no row can be made: the reason, in words that many share, and what exactly."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def label_of(value: Any) -> str:
    """Return one of `reward.judgements.LABELS`; `UnusableError` if the label is not known."""
    name = "" if value is None else str(value).strip().casefold().replace(" ", "_").replace("-", "_")
    if name not in PUBLISHED_LABELS:
        raise UnusableError("unknown label", repr(value))
    return PUBLISHED_LABELS[name]


def number_of(value: Any, name: str) -> float | None:
    """Return a rating or confidence from 1 to 5, None for an empty one; numbers may be texts.

    Raises
    ------
    UnusableError
        If it is no number, or out of range.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UnusableError(f"{name} is no number", repr(value)) from None
    if not SCALE[0] <= number <= SCALE[1]:
        raise UnusableError(f"{name} is not between {SCALE[0]:g} and {SCALE[1]:g}", repr(value))
    return number


def ratings_of(musicality: Any, alignment: Any) -> dict[str, float]:
    """Return the ratings of a row that are not empty; `UnusableError` if none is, or one is no number from 1 to 5."""
    given = {"rating_musicality": musicality, "rating_alignment": alignment}
    found = {name: rating for name in given if (rating := number_of(given[name], "a rating")) is not None}
    if not found:
        raise UnusableError("nobody judged it", "no rating")
    return found


def audio_path(folder: Path, name: Any) -> str:
    """Return the absolute path of a file; `UnusableError` if none is named, or it does not exist."""
    if not isinstance(name, str) or not name.strip():
        raise UnusableError("no audio is named", repr(name))
    path = (folder / name).absolute()
    try:
        if not is_file(path):
            raise UnusableError("audio is missing", str(path))
        check_file(path, "audio")
    except InputError as error:
        raise UnusableError("audio cannot be read", str(error)) from error
    return str(path)


def write_packed_audio(audio: Any, path: Path) -> str:
    """Write audio that a parquet file holds, under a name that its bytes decide, and return its absolute path.

    Parameters
    ----------
    audio
        Audio as `datasets` packs it: its `bytes`, and a `path` whose ending tells the kind of file.
    path
        Path to write to, without hash and ending.

    Raises
    ------
    UnusableError
        If there are no bytes.
    """
    packed = audio if isinstance(audio, Mapping) else {}
    if not packed.get("bytes"):
        raise UnusableError("audio is missing", str(packed.get("path") or ""))
    ending = _ENDING.search(str(packed.get("path")))
    file = path.with_name(
        f"{path.name}-{hashlib.sha256(packed['bytes']).hexdigest()[:16]}{ending[0] if ending else '.wav'}"
    )
    if not file.exists():  # written whole or not at all
        write_bytes(file, packed["bytes"])
    return str(file.absolute())


def vote_of(label: str, vote: str) -> dict[str, str]:
    """Return the preferences of a row in which people voted without a question."""
    return {f"preference_{head}": label if vote in (head, "both") else "" for head in HEADS}


def without_empty(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that are known."""
    return {name: value for name, value in facts.items() if value not in (None, "")}
