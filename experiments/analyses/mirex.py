"""The answers of MIREX 2026, track B: which of two clips people prefer.

    python -m experiments.analyses mirex --data pairs.jsonl --reward HaiwenXia/CMI-RM --output runs/mirex

A row of the answers is `{"sample_id": ..., "preferred_candidate": "A"}`, or "B". What the fields of the questions are
called was not published when this was written; these are read, the first that a row has:

    sample_id, id                    unique
    audio_a, audio-path, audio-a     the first clip; paths are relative to the file, or to --root
    audio_b, audio2, audio-b         the second
    prompt, text                     what was asked for; may be missing, as may
    lyrics
    reference, ref-audio-path, ref-audio

1. Both clips of every row are scored (`reward.scoring.rows`), into OUTPUT/scores.jsonl; a killed run continues.
2. The one with the higher reward is preferred. Of equal rewards the SHA-256 of the sample's id decides, if its last bit
   is 0 for A: every row has an answer, always the same, and neither side is favoured.

Rows with a clip that cannot be scored are reported and left out of OUTPUT/answers.jsonl; the exit code is then 1.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.distributed.same_inputs import meet
from music.durable import write_text
from music.errors import InputError
from music.file_hashes import file_hashes
from music.hashing import sha256_text
from music.jsonl import dump_line, read_jsonl
from music.options import Rewarding
from music.paths import is_readable
from music.provenance import claim_folder, write_run_record
from reward.composition import load_composed
from reward.data.cmi import ALIASES
from reward.scoring.options import RowScoring
from reward.scoring.rows import check_request_files, score_requests

#: what is asked for -> names of its field
NAMES = {
    "id": ("sample_id", "id"),
    "audio_a": ("audio_a", *ALIASES["audio_a"]),
    "audio_b": ("audio_b", *ALIASES["audio_b"]),
    "text": ALIASES["text"],
    "lyrics": ALIASES["lyrics"],
    "reference": ("reference", *ALIASES["reference"]),
}
ANSWERS = "answers.jsonl"
NEEDED = ("id", "audio_a", "audio_b")
FILES = ("audio_a", "audio_b", "reference")


@dataclass(frozen=True)
class Mirex(Rewarding, RowScoring):
    """Answer which of two clips people prefer, as MIREX 2026 asks in track B.

    Parameters
    ----------
    data
        Pairs, as JSON Lines.
    output
        Folder for answers and scores.
    """

    data: Path
    output: Path = Path("runs/analyses/mirex")


def main(options: Mirex) -> int:
    """Score, write the answers and return 1 if rows had to be left out; every process of a run calls it."""
    with meet(options, options.output) as processes:
        claim_folder(options.output, options)
        check_request_files(options.data, options.output, ANSWERS)
        pairs = read_pairs(options.data, options.root or options.data.parent, options.limit)
        scorer, reward = load_composed(options)
        requests = requests_of(pairs, options.output)
        scored = score_requests(requests, options.output, scorer, processes, options)
        if not processes.is_main:
            return 0
        answers = []
        for pair in pairs:
            both = [scored[f"{pair['id']} {side}"] for side in "AB"]
            errors = [str(one["error"]) for one in both if "error" in one]
            if errors:
                print(f"left out: {pair['id']}: {errors[0]}", file=sys.stderr)
                continue
            a, b = (reward({name: one[name] for name in scorer.metrics}) for one in both)
            answers.append(
                {"sample_id": pair["sample_id"], "preferred_candidate": preferred(pair["id"], a, b)}
            )
        write_text(options.output / ANSWERS, "".join(map(dump_line, answers)))
        write_run_record(options.output, options, scorers={scorer.name: scorer.hash}, answers=len(answers))
        print(f"{len(answers)} of {len(pairs)} answers in {options.output / ANSWERS}", file=sys.stderr)
        return int(len(answers) < len(pairs))


def read_pairs(path: Path, root: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the pairs of a file by the names of `NAMES`, with absolute paths, and the `sample_id` as it was given.

    Raises
    ------
    InputError
        If a field that is needed is missing or one is no text (an id may be a whole number), audio is a URL, or an id
        comes twice; the message names file and line.
    """
    found: dict[str, dict[str, Any]] = {}
    for line, row in read_jsonl(path, torn_end=False)[:limit]:
        pair = {name: _field(row, name, f"{path} line {line}") for name in NAMES}
        if pair["id"] in found:
            raise InputError(f"{path} line {line}: id {pair['id']!r} comes twice")
        files = {name: str(root.absolute() / pair[name]) for name in FILES if pair[name]}
        found[pair["id"]] = {**pair, **files, "sample_id": _named(row, "id")}
    if not found:
        raise InputError(f"{path} holds no pairs")
    return list(found.values())


def _field(row: Mapping[str, Any], name: str, place: str) -> str:
    value = _named(row, name)
    if name == "id" and type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise InputError(f"{place}: {name} must be a text, got {value!r}")
    if name in NEEDED and not value:
        raise InputError(f"{place}: no {name}: expected one of the fields {', '.join(NAMES[name])}")
    if name in FILES and "://" in value:
        raise InputError(f"{place}: {name} is a URL, {value}: download it and name the file")
    return value


def _named(row: Mapping[str, Any], name: str) -> Any:
    return next((row[alias] for alias in NAMES[name] if row.get(alias) not in (None, "")), "")


def requests_of(pairs: Sequence[Mapping[str, Any]], memory: Path) -> list[dict[str, str]]:
    """Return the rows for `reward.scoring.rows`, two a pair; the folder `memory` remembers the hashes of files."""
    named = {Path(pair[name]) for pair in pairs for name in FILES if pair[name]}
    contents = file_hashes(sorted(filter(is_readable, named)), memory)
    rows = []
    for pair in pairs:
        for side, name in (("A", "audio_a"), ("B", "audio_b")):
            row = {"id": f"{pair['id']} {side}", "audio": pair[name]}
            row |= {part: pair[part] for part in ("text", "lyrics", "reference")}
            # another content under the same name is scored anew
            held = [contents.get(Path(row[part]), "") for part in ("audio", "reference") if row[part]]
            rows.append(row | {"content": " ".join(held)})
    return rows


def preferred(identity: str, a: float, b: float) -> str:
    """Return A or B, whichever has the higher reward; if they are equal, the one that the id decides."""
    if a == b:
        return "AB"[int(sha256_text(identity)[-1], 16) % 2]
    return "A" if a > b else "B"
