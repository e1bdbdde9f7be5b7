"""Selection: which candidate of each prompt the reward picks, and the folder that holds the picked clips.

The folder is an AudioFolder of its own: the best clips of each prompt, and ``metadata.jsonl`` with candidate, reward,
metrics.
"""

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music.durable import leftovers, write_bytes, write_text, writing
from music.hashing import no_split, path_name
from music.intervals import Array
from music.jsonl import dump_line, read_jsonl
from music.paths import is_file
from music.pool import Candidate, Pool

_LONGEST = 40  # characters of a first name, at most 160 bytes
_RANK = "-rank"
_RANKED = re.compile(rf"{_RANK}\d+(-\d{{5}})")


def choose_best(rewards: Array) -> NDArray[np.int64]:
    """Return the index of the best candidate of each prompt, `[P]`; of equals the lowest wins.

    Parameters
    ----------
    rewards
        `[P, N]` (prompts, candidates).
    """
    return ranking(rewards)[:, 0]


def ranking(rewards: Array) -> NDArray[np.int64]:
    """Return the candidates of each prompt from the best to the worst, `[P, N]`; of equals the lowest comes first."""
    return np.argsort(-rewards, axis=1, kind="stable")


def write_best(
    folder: Path,
    pool: Pool,
    chosen: Sequence[Candidate],
    scores: Sequence[Mapping[str, Any]],
    ranks: Sequence[int] | None = None,
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
        Candidates, one or more of each prompt.
    scores
        Reward and metrics of each, and what else its row is to say.
    ranks
        Rank of each in its prompt, from 1, where there are several.

    Raises
    ------
    InputError
        If a clip was changed since it was made, or the folder cannot be written, or its ``metadata.jsonl``
        cannot be read.
    """
    pool.verify(chosen)
    placed = list(zip(chosen, ranks or [0] * len(chosen), strict=True))
    names = [_name(candidate, rank) for candidate, rank in placed]
    # clips of earlier choices; the pool tells those that were killed before or after their metadata.jsonl
    earlier = _left(folder, {_name(candidate) for candidate in pool}) | _listed(folder / "metadata.jsonl")
    for name, candidate in zip(names, chosen, strict=True):
        target = folder / name
        if not target.exists() or target.read_bytes() != pool.path(candidate).read_bytes():
            write_bytes(target, pool.path(candidate).read_bytes())
    rows = [
        _row(name, candidate, {"rank": rank, **metrics} if rank else metrics)
        for name, (candidate, rank), metrics in zip(names, placed, scores, strict=True)
    ]
    write_text(folder / "metadata.jsonl", "".join(dump_line(row) for row in rows))
    with writing(folder):
        for name in earlier.difference(names):
            (folder / name).unlink(missing_ok=True)
        for _, file in leftovers(folder):
            if file.parent == folder:
                file.unlink()


def _name(candidate: Candidate, rank: int = 0) -> str:
    """Return the name of a clip: its prompt, its rank where there is one, its index, and its first name."""
    first_name = no_split(re.sub(r"\W+", "-", Path(candidate.original).stem.lower()).strip("-")[:_LONGEST])
    ranked = f"{_RANK}{rank:02d}" if rank else ""
    stem = f"{path_name(candidate.prompt_id)}{ranked}-{candidate.candidate:05d}"
    return f"{stem}-{first_name}.flac" if first_name else f"{stem}.flac"


def _left(folder: Path, names: Set[str]) -> set[str]:
    """Return the files of a folder that have these names, with any rank."""
    found = [path.name for path in folder.glob("*.flac")]
    return {name for name in found if name in names or _RANKED.sub(r"\1", name) in names}


def _listed(metadata: Path) -> set[str]:
    """Return the clips that an earlier choice has put beside its metadata."""
    rows = [row for _, row in read_jsonl(metadata)] if is_file(metadata) else []
    names = {str(row.get("file_name")) for row in rows}
    return {name for name in names if Path(name).name == name and name.endswith(".flac")}


def _row(name: str, candidate: Candidate, scores: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("prompt_id", "candidate", "seed", "text", "lyrics", "facts", "generator", "spec", "sha256")
    row = {"file_name": name, **{column: getattr(candidate, column) for column in kept}}
    if candidate.original:
        row |= {"original": candidate.original, "system": candidate.system}
    return {**row, **scores}
