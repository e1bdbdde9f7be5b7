"""Check rows of judgement: files that are missing or broken, rows that come twice, and leaks from a benchmark.

    python -m reward.data check data/cmi_pref/rows.jsonl data/music_eval/rows.jsonl --benchmark data/test/rows.jsonl

The exit code is 1 if something is missing, broken or leaks. Rows that come twice are only told, as several listeners
may judge the same pair; those that contradict each other are told apart.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from music.clips import read_header
from music.errors import InputError
from music.jsonl import read_jsonl
from music.paths import check_file
from music.progress import progress
from reward.data.leakage import find_leaks, load_benchmark
from reward.judgements import FILE_FIELDS, HEADS, Judgement, Preference, audio_of, load_judgements
from reward.training.embeddings import Key, audio_keys

SHOWN = 10  # of each kind of finding


@dataclass(frozen=True)
class Check:
    """Check files of preferences and ratings before a training.

    Parameters
    ----------
    files
        Files of rows to train on.
    benchmark
        Files of rows that models will be tested on, with commas between.
    """

    POSITIONALS: ClassVar = ("files",)

    files: list[Path]
    benchmark: str = ""


def main(options: Check) -> int:
    """Print what is found, and return 1 if it must not stay."""
    if missing := [one for file in options.files for one in missing_files(file)]:
        tell("missing", missing)
        return 1
    rows = [row for file in options.files for row in load_judgements(file)]
    benchmark = load_benchmark(options.benchmark)
    if broken := broken_files(rows):
        tell("broken", broken)
        return 1
    hashes = audio_keys(path for row in (*rows, *benchmark) for path in row.audio)
    twins = twins_of(rows, hashes)
    tell("judged more than once", [", ".join(ids) for ids, _ in twins])
    tell("judged more than once, and not alike", [", ".join(ids) for ids, alike in twins if not alike])
    leaks = find_leaks(rows, benchmark, hashes)
    shared = [f"{leak.id} shares {leak.kind} with {leak.benchmark_id}" for leak in leaks]
    tell("shared with the benchmark", shared)
    print(json.dumps({"rows": len(rows), "leaks": dict(Counter(leak.kind for leak in leaks))}))
    return 1 if leaks else 0


def missing_files(path: Path) -> list[str]:
    """Return every file that rows name and that does not exist."""
    found = []
    for line, row in read_jsonl(path, torn_end=False):
        for name in FILE_FIELDS:
            value = row.get(name)
            if isinstance(value, str) and value:
                try:
                    check_file(path.parent / value, name)
                except InputError as error:
                    found.append(f"{path} line {line}: {error}")
    return found


def broken_files(rows: Sequence[Judgement]) -> list[str]:
    """Return what is wrong with each file that is no audio."""
    found = []
    for path in progress(dict.fromkeys(audio_of(rows)), "headers"):
        try:
            if not read_header(path).samples:
                found.append(f"{path} holds no audio")
        except InputError as error:
            found.append(str(error))
    return found


def twins_of(rows: Sequence[Judgement], hashes: Mapping[Path, Key]) -> list[tuple[list[str], bool]]:
    """Return groups of ids that judge the same audio for the same prompt, and whether they judge alike."""
    groups = defaultdict(list)
    for row in rows:
        heard = frozenset(hashes[path] for path in row.audio)
        groups[heard, row.prompt.text, row.prompt.lyrics].append(row)
    return [
        ([row.id for row in group], len({_verdict(row, hashes) for row in group}) == 1)
        for group in groups.values()
        if len(group) > 1
    ]


def _verdict(row: Judgement, hashes: Mapping[Path, Key]) -> tuple:
    """Return what a row says, whichever clip stands first."""
    judged = tuple(getattr(row, head) for head in HEADS)
    if isinstance(row, Preference) and hashes[row.audio_a] > hashes[row.audio_b]:
        other = {"a": "b", "b": "a"}
        return tuple(other.get(label, label) for label in judged)
    return judged


def tell(title: str, findings: Sequence[str]) -> None:
    """Print how many findings there are, and the first of them."""
    if findings:
        print(f"{title}: {len(findings)}")
        for finding in findings[:SHOWN]:
            print(f"  {finding}")
        if len(findings) > SHOWN:
            print(f"  and {len(findings) - SHOWN} more")
