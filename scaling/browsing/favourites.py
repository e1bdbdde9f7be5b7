"""``favourites.jsonl`` in a pool: the candidate of a prompt that a person likes best.

A row is ``prompt_id, candidate, sha256``, at most one a prompt. It holds the hash of the audio, so that other audio
under the same name is nobody's favourite. The file is replaced as a whole under a lock: a kill loses no mark that was
acknowledged, and two servers of one pool lose none of each other's.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from music.durable import write_text
from music.errors import InputError
from music.jsonl import JsonlAppender, dump_line, read_jsonl
from music.paths import exists
from music.pool import Candidate


class Favourite(NamedTuple):
    """Which candidate of a prompt, and the SHA-256 of its audio."""

    candidate: int
    sha256: str

    def is_of(self, candidate: Candidate) -> bool:
        """Whether this candidate of the prompt, with the audio that it has now, is the favourite."""
        return self == (candidate.candidate, candidate.sha256)


def read_favourites(pool_folder: Path) -> dict[str, Favourite]:
    """Return the favourites of a pool by prompt id; none if nobody has marked any.

    Raises
    ------
    InputError
        If a row of the file is not whole.
    """
    path = _file(pool_folder)
    favourites = {}
    for line, row in read_jsonl(path) if exists(path) else []:
        try:
            favourites[str(row["prompt_id"])] = Favourite(int(row["candidate"]), str(row["sha256"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} line {line}: not a row of a favourite ({error})") from error
    return favourites


def mark(pool_folder: Path, candidate: Candidate, favourite: bool) -> None:
    """Make a candidate the favourite of its prompt, or no longer; durable on return.

    Raises
    ------
    InputError
        If the file cannot be written, or another process is writing it at this moment.
    """
    path = _file(pool_folder)
    with JsonlAppender(path):  # for its lock
        favourites = read_favourites(pool_folder)
        if favourite:
            favourites[candidate.prompt_id] = Favourite(candidate.candidate, candidate.sha256)
        elif candidate.prompt_id in favourites and favourites[candidate.prompt_id].is_of(candidate):
            del favourites[candidate.prompt_id]
        rows = [{"prompt_id": prompt_id, **one._asdict()} for prompt_id, one in sorted(favourites.items())]
        write_text(path, "".join(map(dump_line, rows)), owner=os.getpid())


def favourite_places(
    favourites: Mapping[str, Favourite], candidates: Sequence[Sequence[Candidate]]
) -> dict[int, int]:
    """Return which candidates are favourites: the place of the prompt, and the place among its candidates.

    Parameters
    ----------
    favourites
        By prompt id.
    candidates
        Those of each prompt. A favourite that is not among them, or whose audio has changed, does not count.
    """
    return {
        place: index
        for place, row in enumerate(candidates)
        for index, candidate in enumerate(row)
        if (favourite := favourites.get(candidate.prompt_id)) and favourite.is_of(candidate)
    }


def _file(pool_folder: Path) -> Path:
    return pool_folder / "favourites.jsonl"
