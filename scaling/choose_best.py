"""Selection: which candidate of each prompt the reward picks, and the folder that holds the picked clips.

The folder is an AudioFolder of its own: a clip a prompt, and ``metadata.jsonl`` with candidate, reward,
metrics.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music.durable import TEMPORARY, write_bytes, write_text, writing
from music.hashing import path_name
from music.jsonl import dump_line
from music.pool import Candidate, Pool
from scaling.estimators import Array


def choose_best(rewards: Array) -> NDArray[np.int64]:
    """Return the index of the best candidate of each prompt, `[P]`; of equals the lowest wins.

    Parameters
    ----------
    rewards
        `[P, N]` (prompts, candidates).
    """
    return rewards.argmax(axis=1)


def write_best(
    folder: Path, pool: Pool, chosen: Sequence[Candidate], scores: Sequence[Mapping[str, float]]
) -> None:
    """Copy the chosen clips into a folder.

    Clips come first, ``metadata.jsonl`` follows, then clips of an earlier choice go: whenever this is killed,
    what ``metadata.jsonl`` names is there.

    Parameters
    ----------
    folder
        Where to; created when missing.
    pool
        Where the clips are.
    chosen
        One candidate a prompt.
    scores
        Reward and metrics of each.

    Raises
    ------
    InputError
        If a clip was changed since it was made, or the folder cannot be written.
    """
    pool.verify(chosen)
    names = [f"{path_name(candidate.prompt_id)}-{candidate.candidate:05d}.flac" for candidate in chosen]
    for name, candidate in zip(names, chosen, strict=True):
        target = folder / name
        if not target.exists() or target.read_bytes() != pool.path(candidate).read_bytes():
            write_bytes(target, pool.path(candidate).read_bytes())
    rows = [_row(*item) for item in zip(names, chosen, scores, strict=True)]
    write_text(folder / "metadata.jsonl", "".join(dump_line(row) for row in rows))
    with writing(folder):
        for file in folder.iterdir():
            if (file.suffix == ".flac" and file.name not in names) or file.name.startswith(TEMPORARY):
                file.unlink()


def _row(name: str, candidate: Candidate, scores: Mapping[str, float]) -> dict[str, Any]:
    kept = ("prompt_id", "candidate", "seed", "text", "lyrics", "facts", "generator", "spec", "sha256")
    return {"file_name": name, **{column: getattr(candidate, column) for column in kept}, **scores}
