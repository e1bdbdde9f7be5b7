"""Selection: which candidate of each prompt the reward picks, and the folder that holds the picked clips.

The folder is an AudioFolder of its own: a clip a prompt, and ``metadata.jsonl`` with candidate, reward,
metrics.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music.durable import leftovers, write_bytes, write_text, writing
from music.hashing import path_name
from music.intervals import Array
from music.jsonl import dump_line, read_jsonl
from music.paths import is_file
from music.pool import Candidate, Pool


def choose_best(rewards: Array) -> NDArray[np.int64]:
    """Return the index of the best candidate of each prompt, `[P]`; of equals the lowest wins.

    Parameters
    ----------
    rewards
        `[P, N]` (prompts, candidates).
    """
    return rewards.argmax(axis=1)


def write_best(
    folder: Path, pool: Pool, chosen: Sequence[Candidate], scores: Sequence[Mapping[str, Any]]
) -> None:
    """Copy the chosen clips into a folder.

    Clips come first, ``metadata.jsonl`` follows, then clips of an earlier choice go: whenever this is killed,
    what ``metadata.jsonl`` names is there. Files that no choice has put there stay.

    Parameters
    ----------
    folder
        Folder for the clips; created when missing.
    pool
        Pool of the clips.
    chosen
        Candidate of each prompt.
    scores
        Reward and metrics of each, and what else its row is to say.

    Raises
    ------
    InputError
        If a clip was changed since it was made, or the folder cannot be written, or its ``metadata.jsonl``
        cannot be read.
    """
    pool.verify(chosen)
    names = [_name(candidate) for candidate in chosen]
    # clips of earlier choices; the pool tells those that were killed before or after their metadata.jsonl
    earlier = {_name(candidate) for candidate in pool} | _listed(folder / "metadata.jsonl")
    for name, candidate in zip(names, chosen, strict=True):
        target = folder / name
        if not target.exists() or target.read_bytes() != pool.path(candidate).read_bytes():
            write_bytes(target, pool.path(candidate).read_bytes())
    rows = [_row(*item) for item in zip(names, chosen, scores, strict=True)]
    write_text(folder / "metadata.jsonl", "".join(dump_line(row) for row in rows))
    with writing(folder):
        for name in earlier.difference(names):
            (folder / name).unlink(missing_ok=True)
        for _, file in leftovers(folder):
            if file.parent == folder:
                file.unlink()


def _name(candidate: Candidate) -> str:
    return f"{path_name(candidate.prompt_id)}-{candidate.candidate:05d}.flac"


def _listed(metadata: Path) -> set[str]:
    """Return the clips that an earlier choice has put beside its metadata."""
    rows = [row for _, row in read_jsonl(metadata)] if is_file(metadata) else []
    names = {str(row.get("file_name")) for row in rows}
    return {name for name in names if Path(name).name == name and name.endswith(".flac")}


def _row(name: str, candidate: Candidate, scores: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("prompt_id", "candidate", "seed", "text", "lyrics", "facts", "generator", "spec", "sha256")
    return {"file_name": name, **{column: getattr(candidate, column) for column in kept}, **scores}
