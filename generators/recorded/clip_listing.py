"""The list of the clips in a folder: which file was made for which prompt.

It is ``metadata.jsonl`` or ``metadata.csv`` in the folder (the format of a Hugging Face AudioFolder, so that a pool
and its ``best`` are such folders too). Its columns:

    file_name   the audio, relative to the folder
    prompt_id   the prompt that it was made for, or
    text        its text; a row without prompt_id matches every prompt of that text
    candidate   optional: decides the order of the clips of a prompt; without it, the order of the rows
    rank        optional: place among the clips of its prompt, from 1, where all of them have one; says which is best
    system      optional: what made the clip
    original    optional: the name that the clip had before; a pool of recorded clips has it

Other columns (a seed, scores ...) are not read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.candidate import Origin
from music.errors import InputError
from music.files import read_csv
from music.jsonl import read_jsonl
from music.paths import is_file, is_folder
from music.prompts import Prompt

_NAMES = ("metadata.jsonl", "metadata.csv")


@dataclass(frozen=True)
class ListedClip:
    """One row.

    Attributes
    ----------
    file_name, prompt_id, text, candidate, rank, system, original
        Columns; empty, or None, where the row has none.
    place
        File and line, for messages.
    """

    file_name: str
    prompt_id: str
    text: str
    candidate: int | None
    rank: int | None
    system: str
    original: str
    place: str

    @property
    def prompt(self) -> tuple[str, str]:
        """The column by which it matches a prompt, and what it holds."""
        return ("prompt_id", self.prompt_id) if self.prompt_id else ("text", self.text)

    @property
    def origin(self) -> Origin:
        """Its first name, and what made it."""
        return Origin(self.original or self.file_name, self.system)


class ClipListing:
    """The rows of the list of a folder.

    Attributes
    ----------
    clips : list of ListedClip
        In the order of the file.
    file : Path
        The list.

    Parameters
    ----------
    folder
        Folder of the list.

    Raises
    ------
    InputError
        If there is no list or there are two, or a row is not whole; the message names file, line and field.
    """

    def __init__(self, folder: Path) -> None:
        if not is_folder(folder):
            raise InputError(f"{folder} is not a folder")
        found = [folder / name for name in _NAMES if is_file(folder / name)]
        if len(found) != 1:
            state = "both {} and {}" if found else "neither {} nor {}"
            raise InputError(
                f"{folder} has {state.format(*_NAMES)}: one of them says which clip is whose (to rank all audio of a "
                f"folder for one prompt, music-reward score {folder} --text PROMPT)"
            )
        self.file = found[0]
        rows: Iterable[tuple[int, Mapping[str, Any]]]
        rows = read_csv(self.file)[1] if self.file.suffix == ".csv" else read_jsonl(self.file, torn_end=False)
        self.clips = [_clip(row, f"{self.file} line {line}") for line, row in rows]
        if not self.clips:
            raise InputError(f"{self.file} lists no clip")
        _refuse_twins(self.clips)
        self._by_prompt: dict[tuple[str, str], list[ListedClip]] = {}
        for clip in self.clips:
            self._by_prompt.setdefault(clip.prompt, []).append(clip)

    def of(self, prompt: Prompt) -> list[ListedClip]:
        """Return the clips that were made for a prompt, in the order of their candidate index.

        Raises
        ------
        InputError
            If a row names the prompt but has another text, or some have a candidate index and others none.
        """
        named = self._by_prompt.get(("prompt_id", prompt.id), [])
        for clip in named:
            if clip.text not in ("", prompt.text):
                raise InputError(f"{clip.place}: prompt {prompt.id!r} has another text, {prompt.text!r}")
        clips = named + self._by_prompt.get(("text", prompt.text), [])
        without = [clip for clip in clips if clip.candidate is None]
        if without and len(without) < len(clips):
            raise InputError(
                f"{without[0].place}: field 'candidate' is missing, though other clips of prompt "
                f"{prompt.id!r} have it"
            )
        return clips if without else sorted(clips, key=lambda clip: clip.candidate or 0)

    def best_of(self, prompt: Prompt) -> ListedClip | None:
        """Return the clip that stands for a prompt: that of the first rank, or the first one; None if it has none.

        Raises
        ------
        InputError
            As `of`.
        """
        clips = self.of(prompt)
        if not clips or any(clip.rank is None for clip in clips):
            return next(iter(clips), None)
        return min(clips, key=lambda clip: clip.rank or 0)


def _clip(row: Mapping[str, Any], place: str) -> ListedClip:
    texts = {name: row.get(name) or "" for name in ("file_name", "prompt_id", "text", "system", "original")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise InputError(f"{place}: field {name!r} must be a text, got {value!r}")
    if not texts["file_name"]:
        raise InputError(f"{place}: field 'file_name' is missing")
    if not (texts["prompt_id"] or texts["text"]):
        raise InputError(f"{place}: neither field 'prompt_id' nor 'text' says which prompt it was made for")
    rank = row.get("rank")  # a column of anybody's may be called so
    return ListedClip(
        **texts,
        candidate=_index(row.get("candidate"), place),
        rank=int(rank) if type(rank) is int or (isinstance(rank, str) and rank.isdecimal()) else None,
        place=place,
    )


def _index(value: Any, place: str) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if type(value) is not int or value < 0:
        raise InputError(f"{place}: field 'candidate' must be a whole number from 0, got {value!r}")
    return value


def _refuse_twins(clips: Iterable[ListedClip]) -> None:
    first: dict[tuple[Any, ...], str] = {}
    for clip in clips:
        twins: dict[str, tuple[Any, ...]] = {
            f"file {clip.file_name!r}": ("file", clip.file_name, clip.prompt)
        }
        if clip.candidate is not None:
            twins[f"candidate {clip.candidate}"] = ("candidate", clip.candidate, clip.prompt)
        for what, key in twins.items():
            if key in first:
                raise InputError(f"{clip.place}: {what} of the prompt comes twice, first in {first[key]}")
            first[key] = clip.place
