"""Rows that share something with a benchmark: the bytes of a judged file, the prompt, or the battle."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from music.command import split_names
from reward.judgements import Judgement, load_judgements

Hashes = Mapping[Path, object]  # of the bytes of each judged file


@dataclass(frozen=True)
class Leak:
    """One thing that a row shares with a row of the benchmark: audio, prompt or battle."""

    id: str
    benchmark_id: str
    kind: str


def load_benchmark(files: str) -> list[Judgement]:
    """Return the rows of files that are named with commas between."""
    return [row for name in split_names(files) for row in load_judgements(name)]


def find_leaks(rows: Sequence[Judgement], benchmark: Iterable[Judgement], hashes: Hashes) -> list[Leak]:
    """Return what rows share with a benchmark, at most one leak of each kind a row.

    Prompts are the same if text and lyrics are, whatever their case and spaces; rows without either share none.
    """
    known: dict[tuple[str, object], str] = {}
    for row in benchmark:
        for mark in _marks(row, hashes):
            known.setdefault(mark, row.id)
    leaks: dict[tuple[str, str], Leak] = {}
    for row in rows:
        for mark in _marks(row, hashes):
            if mark in known:
                leaks.setdefault((row.id, mark[0]), Leak(row.id, known[mark], mark[0]))
    return list(leaks.values())


def _marks(row: Judgement, hashes: Hashes) -> Iterator[tuple[str, object]]:
    """Yield kind and identity of everything that a row may share."""
    for path in row.audio:
        yield "audio", hashes[path]
    words = tuple(" ".join(text.casefold().split()) for text in (row.prompt.text, row.prompt.lyrics))
    if any(words):
        yield "prompt", words
    if battle := row.prompt.facts.get("battle_uuid"):
        yield "battle", str(battle)
