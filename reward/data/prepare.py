"""Write a published set as rows that `reward.train` reads.

    python -m reward.data prepare --format cmi --source CMI-Pref/train.jsonl --output data/cmi_pref \
        --benchmark data/cmi_test/rows.jsonl
    python -m reward.data prepare --format music_eval --source BAAI/MusicEval --split train --output data/music_eval

1. Every item of the source becomes a row, or is skipped for a reason that has a name: an unknown label, audio that is
   missing, a rating out of range. Labels get one name each (model_a and A are a, BOTH_BAD is neither); ties and the
   like are kept, as training passes over them by itself.
2. Rows that share audio, prompt or battle with a benchmark are left out as well, or kept with ``--leaks keep``.

OUTPUT holds ``rows.jsonl``; ``skipped.jsonl``, a row for everything that is not in it; ``audio/``, with what had to be
cut or unpacked; and ``run.json`` with the counts. Audio is not copied: rows name it relative to themselves. An id tells
the place of a row in the source, so it stays when missing audio comes later.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from music.command import refuse_below_one
from music.durable import make_folder, write_text
from music.errors import InputError
from music.jsonl import dump_line
from music.paths import check_apart, exists, is_folder
from music.progress import progress
from music.provenance import claim_folder, write_run_record
from reward.data import aime, cmi, music_arena, music_eval, pam, song_eval
from reward.data.leakage import find_leaks, load_benchmark
from reward.data.rows import Items, Row, Source, UnusableError
from reward.data.tables import from_hub
from reward.judgements import FILE_FIELDS, Judgement, judgement_of
from reward.training.embeddings import audio_keys

Format = Literal["cmi", "music_eval", "pam", "music_arena", "aime", "song_eval"]
FORMATS: dict[Format, Callable[[Source], Items]] = {
    "cmi": cmi.read,
    "music_eval": music_eval.read,
    "pam": pam.read,
    "music_arena": music_arena.read,
    "aime": aime.read,
    "song_eval": song_eval.read,
}


@dataclass(frozen=True)
class Skipped:
    """An item that did not become a row: where it stands, why in words that many share, and what exactly."""

    where: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Prepare:
    """Write a published set of preferences or ratings as rows that reward.train reads.

    Parameters
    ----------
    format
        Layout of the set; cmi is that of CMI-Pref, CMI-Pref-Pseudo and CMI-RewardBench.
    source
        File or folder of the set, or the id of a data set on the hub.
    output
        Folder to write.
    audio
        Folder that paths of audio are relative to; that of the source if not given.
    split
        Part of the set to read; all of it if empty.
    vote
        Head for which a vote without a question counts, as in Music Arena.
    benchmark
        Files of rows that models will be tested on, with commas between.
    leaks
        What happens to rows that share audio, prompt or battle with a benchmark.
    limit
        Number of items to take from the beginning of the source; all if not given.
    """

    format: Format
    source: str
    output: Path
    audio: Path | None = None
    split: str = ""
    vote: Literal["musicality", "alignment", "both"] = "musicality"
    benchmark: str = ""
    leaks: Literal["exclude", "keep"] = "exclude"
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse a limit out of range, and a folder of audio that is none."""
        refuse_below_one(self, "limit")
        if self.audio is not None and not is_folder(self.audio):
            raise InputError(f"--audio {self.audio} is not a folder")


def main(options: Prepare) -> None:
    """Read, leave out what leaks, write, and tell what became of the items."""
    claim_folder(options.output, options)
    make_folder(options.output)
    path, beside = options.output / "rows.jsonl", options.output / "skipped.jsonl"
    check_apart(options.source, path, beside)
    benchmark = load_benchmark(options.benchmark)
    rows, judged, skipped = read_rows(options)
    leaks = []
    if benchmark:
        hashes = audio_keys(file for row in (*judged, *benchmark) for file in row.audio)
        leaks = find_leaks(judged, benchmark, hashes)
    if options.leaks == "exclude":
        leaked = {leak.id for leak in leaks}
        rows = [row for row in rows if row["id"] not in leaked]
        reason = "shares {} with a benchmark"
        skipped += [Skipped(leak.id, reason.format(leak.kind), leak.benchmark_id) for leak in leaks]
    write_text(beside, "".join(dump_line(asdict(one)) for one in skipped))
    reasons = dict(Counter(one.reason for one in skipped).most_common())
    if not rows:
        found = json.dumps(reasons) if reasons else "no row at all"
        raise InputError(f"nothing of {options.source} can be used: {found}; see {beside}")
    write_rows(rows, path)
    counts = {"rows": len(rows), "skipped": reasons, "leaks": dict(Counter(leak.kind for leak in leaks))}
    write_run_record(options.output, options, **counts)
    print(json.dumps({"output": str(path), **counts}, indent=1))


def read_rows(options: Prepare) -> tuple[list[Row], list[Judgement], list[Skipped]]:
    """Return the rows of the source with their ids, the same as judgements, and the items that did not become one."""
    place = Path(options.source)
    if not exists(place):
        place = from_hub(options.source)
    folder = place if is_folder(place) else place.parent
    source = Source(place, options.audio or folder, options.split, options.vote, options.output / "audio")
    rows: list[Row] = []
    judged: list[Judgement] = []
    skipped: list[Skipped] = []
    name = f"{options.format}-{options.split}" if options.split else options.format
    items = islice(FORMATS[options.format](source), options.limit)
    for number, (where, make) in enumerate(progress(items, options.format)):
        try:
            row = {"id": f"{name}-{number:06d}", **make()}
            judged.append(_judgement(row, folder))
            rows.append(row)
        except UnusableError as error:
            skipped.append(Skipped(where, error.reason, error.detail))
    return rows, judged, skipped


def _judgement(row: Row, folder: Path) -> Judgement:
    try:
        dump_line(row)
        return judgement_of(row, folder)
    except (TypeError, ValueError) as error:  # what JSON does not know: a time, NaN
        raise UnusableError("not a judgement", str(error)) from error


def write_rows(rows: Iterable[Row], path: Path) -> Path:
    """Write rows whose files are named relative to their own, and return the path."""
    start = path.parent.absolute()
    named = (
        row | {name: os.path.relpath(row[name], start) for name in FILE_FIELDS if name in row} for row in rows
    )
    write_text(path, "".join(map(dump_line, named)))
    return path
