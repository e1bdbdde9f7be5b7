"""Writes pairs whose answers are known (`judgements/pairs.py`), with their audio.

    python -m experiments.lab.pairs --output runs/lab/pairs       # the shipped held-out pairs, with their audio

The rows of the held-out pairs are shipped in `assets/lab/pairs.jsonl`; their audio is made by this command.
`python -m reward.train` reads such files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from experiments.lab.judgements.pairs import CONDITIONS, CONTRASTS, across, clip_of_part, field_of, pair
from experiments.lab.options import Suite, Workers
from experiments.lab.world.coded_audio import shipped_codec
from experiments.lab.world.rendering import RENDERING
from experiments.running import spread
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import write_clip
from music.command import refuse_below_one, run
from music.durable import claim_work, write_text
from music.jsonl import dump_line
from music.progress import progress
from reward.cmi_rm.weights import hash_tensors

#: pairs of each kind in the shipped file
HELD_OUT = {**dict.fromkeys(CONDITIONS, 2_000), **dict.fromkeys(CONTRASTS, 500)}
CHUNK = 20  # pairs that a process takes at a time
_CLIPS = 2.5  # of a pair, references included, on average
_GIGABYTES = 0.235e-3  # of a clip, on average


@dataclass(frozen=True)
class WritePairs(Suite, Workers):
    """Write held-out pairs with their audio.

    Parameters
    ----------
    output
        Folder for `test.jsonl` and `audio/`; audio that is there is kept.
    limit
        Number of pairs of each kind, the first ones; all by default.
    """

    LIBRARIES: ClassVar = (RENDERING,)

    output: Path = Path("runs/lab/pairs")
    limit: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "limit")


def main(options: WritePairs) -> None:
    """Write them and say where they are."""
    counts = held_out(options.limit)
    clips = _CLIPS * sum(counts.values())
    options.announce("held-out pairs", clips, clips * _GIGABYTES)
    print(write_pairs(options.output, "test", counts, shipped_codec(options.suite), options.workers))


def held_out(limit: int | None) -> dict[str, int]:
    """Return how many held-out pairs of each kind there are, at most `limit`."""
    return {kind: min(count, limit or count) for kind, count in HELD_OUT.items()}


def write_pairs(
    folder: Path,
    split: str,
    counts: Mapping[str, int],
    codec: SpectralCodecModel,
    workers: int = 1,
    more: int = 0,
) -> Path:
    """Write pairs of a split with their audio and return the rows' file; audio that is there is kept.

    Parameters
    ----------
    counts
        Number of pairs of each kind.
    workers
        Number of processes that make the audio.
    more
        Number of pairs across prompts (`across`) beside them.
    """
    claim_work(folder, codec=hash_tensors(codec.state_dict()))
    wanted = [(kind, index) for kind, count in counts.items() for index in range(count)]
    rows = spread(partial(_written, folder, split, codec), wanted, workers, f"{split} pairs", CHUNK)
    rows += [across(rows, split, index) for index in range(more)]
    path = folder / f"{split}.jsonl"
    write_text(path, "".join(map(dump_line, rows)))
    return path


def _written(folder: Path, split: str, codec: SpectralCodecModel, wanted: tuple[str, int]) -> dict:
    """Write the clips of a pair and return its row."""
    row, songs = pair(split, *wanted)
    for part in songs:
        path = folder / row[field_of(part)]
        if not path.exists():  # written whole or not at all
            write_clip(path, clip_of_part(row, part, songs, codec))
    return row


def write_rows(path: Path) -> None:
    """Write the rows of the held-out pairs, without audio."""
    wanted = [(kind, index) for kind, count in HELD_OUT.items() for index in range(count)]
    rows = [pair("test", kind, index)[0] for kind, index in progress(wanted, desc="pairs")]
    write_text(path, "".join(map(dump_line, rows)))


if __name__ == "__main__":
    run(main, WritePairs)
