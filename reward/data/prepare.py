"""Write a published set as rows that `reward.train` reads.

python -m reward.data prepare --format cmi --source CMI-Pref/train.jsonl --output data/cmi_pref \
        --benchmark data/cmi_test/rows.jsonl

1. Every row of the source becomes one of ours, or is skipped for a reason that has a name: an unknown label, audio that
   is missing, a rating out of range. Labels are called alike (model_a and A are a, BOTH_BAD is neither); ties and the
   like are kept, for training passes over them by itself.
2. Rows that share audio, prompt or battle with a benchmark are left out as well, or kept with ``--leaks keep``.

OUTPUT holds ``rows.jsonl``; ``skipped.jsonl``, a row for all that is not in it; ``audio/``, with what had to be cut;
and ``run.json`` with the counts. Audio is not copied: rows name it relative to themselves. An id tells the place of a
row in the source, so it stays when missing audio comes later.

The published sets that can be read, by the name of their layout.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from music.command import refuse_below_one
from music.durable import make_folder, write_text
from music.errors import InputError
from music.jsonl import dump_line
from music.provenance import write_run_record
from reward.data import aime, cmi, music_arena, music_eval, pam, song_eval
from reward.data.leakage import Leak, find_leaks, load_benchmark
from reward.data.rows import Found, Row, Skipped, Source
from reward.data.tables import from_hub
from reward.judgements import FILE_FIELDS, HEADS, Judgement, load_judgements
from reward.training.embeddings import audio_keys

FORMATS: dict[str, Callable[[Source], Found]] = {
    "cmi": cmi.read,
    "music_eval": music_eval.read,
    "pam": pam.read,
    "music_arena": music_arena.read,
    "aime": aime.read,
    "song_eval": song_eval.read,
}


ROWS, SKIPPED = "rows.jsonl", "skipped.jsonl"


@dataclass(frozen=True)
class Prepare:
    """Write a published set of preferences or ratings as rows that reward.train reads.

    Parameters
    ----------
    format
        How the set is laid out: cmi (CMI-Pref, CMI-Pref-Pseudo, CMI-RewardBench), music_eval, pam, music_arena,
        aime or song_eval.
    source
        Its file or folder, or the id of a data set on the hub.
    output
        Folder to write.
    audio
        Folder that paths of audio are relative to; that of the source by default.
    split
        Only this part of the set.
    vote
        The head for which a vote without a question counts, as in Music Arena: musicality, alignment or both.
    benchmark
        Files of rows on which models will be tested, with commas between.
    leaks
        What to do with rows that share audio, prompt or battle with a benchmark: exclude or keep.
    limit
        Take only the first so many rows of the source.
    """

    format: str
    source: str
    output: Path
    audio: Path | None = None
    split: str = ""
    vote: str = "musicality"
    benchmark: str = ""
    leaks: str = "exclude"
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse unknown names and numbers out of range."""
        known = {"format": tuple(FORMATS), "vote": (*HEADS, "both"), "leaks": ("exclude", "keep")}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise InputError(f"--{name} must be one of {', '.join(values)}, got {getattr(self, name)!r}")
        refuse_below_one(self, "limit")


def main(options: Prepare) -> None:
    """Read, leave out what leaks, write and say what became of the rows."""
    rows, skipped = read_rows(options)
    make_folder(options.output)
    path = options.output / ROWS
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    write_text(part, "".join(dump_line(relative(row, options.output)) for row in rows))
    benchmark = load_benchmark(options.benchmark)
    leaks = leaks_of(load_judgements(part), benchmark) if rows else []
    part.unlink()
    if options.leaks == "exclude":
        leaked = {leak.id for leak in leaks}
        rows = [row for row in rows if row["id"] not in leaked]
        skipped += [
            Skipped(leak.id, f"shares {leak.kind} with a benchmark", leak.benchmark_id) for leak in leaks
        ]
    write_text(options.output / SKIPPED, "".join(dump_line(asdict(one)) for one in skipped))
    reasons = dict(Counter(one.reason for one in skipped).most_common())
    if not rows:
        found = json.dumps(reasons) if reasons else "no row at all"
        raise InputError(f"nothing of {options.source} can be used: {found}; see {options.output / SKIPPED}")
    write_text(path, "".join(dump_line(relative(row, options.output)) for row in rows))
    counts = {"rows": len(rows), "skipped": reasons, "leaks": dict(Counter(leak.kind for leak in leaks))}
    write_run_record(options.output, options, **counts)
    print(json.dumps({"output": str(path), **counts}, indent=1))


def read_rows(options: Prepare) -> tuple[list[Row], list[Skipped]]:
    """Return the rows of the source with their ids, and what did not become one."""
    place = Path(options.source)
    if not place.exists():
        place = from_hub(options.source)
    folder = place if place.is_dir() else place.parent
    source = Source(place, options.audio or folder, options.split, options.vote, options.output / "audio")
    rows: list[Row] = []
    skipped: list[Skipped] = []
    name = f"{options.format}-{options.split}" if options.split else options.format
    for number, found in enumerate(tqdm(FORMATS[options.format](source), options.format, disable=None)):
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            rows.append({"id": f"{name}-{number:06d}", **found})
        if number + 1 == options.limit:
            break
    return rows, skipped


def relative(row: Row, folder: Path) -> dict[str, Any]:
    """Return a row whose files are named relative to a folder."""
    start = folder.absolute()
    return row | {name: os.path.relpath(row[name], start) for name in FILE_FIELDS if name in row}


def leaks_of(rows: Sequence[Judgement], benchmark: Sequence[Judgement]) -> list[Leak]:
    """Return what rows share with a benchmark; files are read only if there is one."""
    if not benchmark:
        return []
    return find_leaks(rows, benchmark, audio_keys(path for row in (*rows, *benchmark) for path in row.audio))
