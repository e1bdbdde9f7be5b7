"""Writes what answers say: ``rows.jsonl`` to train on, ``bias.json`` and ``bias.md`` to read."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line, read_jsonl
from music.prompts import Prompt
from reward.judge.answers import AnswerStore
from reward.judge.consistency import bias_table, label_of_pair, verdicts_of
from reward.judge.questions import Judge, Pair
from reward.judgements import HEADS

_FILES = ("reference", "audio_a", "audio_b")


@dataclass(frozen=True)
class Asked:
    """A pair with the row it was read from."""

    pair: Pair
    row: Mapping[str, Any]


def load_pairs(path: Path, limit: int | None = None) -> list[Asked]:
    """Read pairs to be judged: rows as `reward.judgements` has them, whose labels may be missing.

    Raises
    ------
    InputError
        If a field or a file is missing, or an id comes twice.
    """
    found: dict[str, Asked] = {}
    for line, row in read_jsonl(path, torn_end=False)[:limit]:
        where = f"{path} line {line}"
        for name in ("id", "audio_a", "audio_b"):
            if not isinstance(row.get(name), str) or not row[name]:
                raise InputError(f"{where}: field {name!r} is missing or no text")
        for name in _FILES:
            if row.get(name) and not (path.parent / row[name]).is_file():
                raise InputError(f"{where}: {name} {path.parent / row[name]} does not exist")
        if row["id"] in found:
            raise InputError(f"{where}: id {row['id']!r} comes twice")
        reference = path.parent / row["reference"] if row.get("reference") else None
        prompt = Prompt(row["id"], row.get("text") or "", row.get("lyrics") or "", reference)
        pair = Pair(row["id"], prompt, path.parent / row["audio_a"], path.parent / row["audio_b"])
        found[row["id"]] = Asked(pair, row)
    if not found:
        raise InputError(f"{path} holds no pairs")
    return list(found.values())


def write_labels(
    asked: Sequence[Asked], judge: Judge, answers: AnswerStore, keep: str, output: Path
) -> dict[str, Any]:
    """Write the labels and the bias table, and return how many pairs there are of each kind.

    A row keeps the marks and labels of both orders, the model and the hash of the instruction under `facts.judge`.
    """
    known = {
        one: answer for one, answer in ((key, answers.get(key)) for key in _keys(asked, judge)) if answer
    }
    rows, table = [], []
    counts: Counter[str] = Counter()
    for one in asked:
        verdicts = verdicts_of(judge, one.pair, known)
        table.append((verdicts, {head: one.row.get(f"preference_{head}") or "" for head in HEADS}))
        labels = {head: label_of_pair(verdicts, head, keep) for head in HEADS}
        counts["unanswered" if not verdicts else "labelled" if any(labels.values()) else "contradictory"] += 1
        if any(labels.values()):
            rows.append(_row(one, labels, verdicts, judge, output))
    write_text(output / "rows.jsonl", "".join(dump_line(row) for row in rows))
    bias = bias_table(table)
    write_text(output / "bias.json", json.dumps(bias, indent=1) + "\n")
    write_text(output / "bias.md", markdown(bias))
    return {"pairs": len(asked), **counts}


def _keys(asked: Sequence[Asked], judge: Judge) -> list[str]:
    return [judge.key(one.pair, order) for one in asked for order in ("original", "reversed")]


def _row(
    one: Asked, labels: Mapping[str, str], verdicts: Mapping, judge: Judge, output: Path
) -> dict[str, Any]:
    pair, start = one.pair, output.absolute()
    files = {"reference": pair.prompt.reference, "audio_a": pair.audio_a, "audio_b": pair.audio_b}
    heard = {
        order: {
            head: {"preference": verdict.preference, "score_a": verdict.score_a, "score_b": verdict.score_b}
            for head, verdict in by_head.items()
        }
        for order, by_head in verdicts.items()
    }
    told = {"model": judge.model, "instruction": judge.instruction.name, "hash": judge.instruction.hash}
    return {
        "id": pair.id,
        "text": pair.prompt.text,
        "lyrics": pair.prompt.lyrics,
        **{name: os.path.relpath(path.absolute(), start) for name, path in files.items() if path is not None},
        **{f"preference_{head}": label for head, label in labels.items()},
        "facts": {**(one.row.get("facts") or {}), "judge": {**told, **heard}},
    }


def markdown(bias: Sequence[Mapping[str, Any]]) -> str:
    """Return the bias table for people."""
    lines = [
        "| head | answers | pairs | decided | share of a | right |",
        "|---|---|---|---|---|---|",
    ]
    for row in bias:
        shares = (_shown(row, "a_share"), _shown(row, "right"))
        lines.append(
            f"| {row['head']} | {row['answers']} | {row['pairs']} | {row['decided']} | {' | '.join(shares)} |"
        )
    return "\n".join(lines) + "\n"


def _shown(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return "–"
    low, high = row[f"{name}_ci95"]
    return f"{row[name]:.1%} [{low:.1%}, {high:.1%}]"
