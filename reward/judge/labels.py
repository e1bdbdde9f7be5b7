"""Labels from answers: ``rows.jsonl`` to train on, ``bias.json`` and ``bias.md`` to read."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from music.durable import write_text
from music.intervals import Estimate
from music.jsonl import dump_line
from music.tables import markdown_table
from reward.judge.answers import AnswerStore
from reward.judge.consistency import bias_table, label_of_pair, verdicts_of
from reward.judge.questions import Judge
from reward.judgements import HEADS, Preference


def write_labels(
    pairs: Sequence[Preference], judge: Judge, answers: AnswerStore, keep: str, output: Path
) -> dict[str, Any]:
    """Write the labels and the bias table, and return the number of pairs of each kind.

    A row keeps the marks and labels of both orders, the model and the hash of the instruction under `facts.judge`.
    """
    rows, table = [], []
    counts: Counter[str] = Counter()
    for pair in pairs:
        verdicts = verdicts_of(judge, pair, answers)
        table.append((verdicts, {head: getattr(pair, head) for head in HEADS}))
        labels = {head: label_of_pair(verdicts, head, keep) for head in HEADS}
        counts["unanswered" if not verdicts else "labelled" if any(labels.values()) else "contradictory"] += 1
        if any(labels.values()):
            rows.append(_row(pair, labels, verdicts, judge, output))
    write_text(output / "rows.jsonl", "".join(dump_line(row) for row in rows))
    bias = bias_table(table)
    write_text(output / "bias.json", json.dumps(bias, indent=1) + "\n")
    write_text(output / "bias.md", markdown(bias))
    return {"pairs": len(pairs), **counts}


def _row(
    pair: Preference, labels: Mapping[str, str], verdicts: Mapping, judge: Judge, output: Path
) -> dict[str, Any]:
    start = output.absolute()
    files = {"reference": pair.prompt.reference, "audio_a": pair.audio_a, "audio_b": pair.audio_b}
    heard = {
        order: {head: asdict(verdict) for head, verdict in by_head.items()}
        for order, by_head in verdicts.items()
    }
    told = {"model": judge.model, "instruction": judge.instruction.name, "hash": judge.instruction.hash}
    return {
        "id": pair.id,
        "text": pair.prompt.text,
        "lyrics": pair.prompt.lyrics,
        **{name: os.path.relpath(path.absolute(), start) for name, path in files.items() if path is not None},
        **{f"preference_{head}": label for head, label in labels.items()},
        "facts": {**pair.prompt.facts, "judge": {**told, **heard}},
    }


def markdown(bias: Sequence[Mapping[str, Any]]) -> str:
    """Return the bias table for people."""
    header = ["head", "answers", "pairs", "decided", "share of a", "right"]
    return markdown_table(
        header,
        [
            [*(str(row[name]) for name in header[:4]), *(_shown(row, name) for name in ("a_share", "right"))]
            for row in bias
        ],
    )


def _shown(row: Mapping[str, Any], name: str) -> str:
    return "–" if row[name] is None else f"{Estimate(row[name], *row[f'{name}_ci95']):.1%}"
