"""Tables of a results file, and of two of them side by side."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.durable import write_text
from music.errors import InputError
from music.jsonl import read_jsonl
from reward.benchmark.comparison import COMPARISON, compare
from reward.benchmark.extra import EXTRA, extra, judged_pairs
from reward.benchmark.intervals import RESAMPLES
from reward.benchmark.metrics import DETAIL, PREFERENCE_TASKS, SUMMARY, detail, summary, table, tested
from reward.benchmark.result_rows import Row
from reward.bradley_terry import reliability_of


@dataclass(frozen=True)
class Evaluate:
    """Measure how well a scorer's predictions agree with people on CMI-RewardBench.

    Parameters
    ----------
    results
        Rows of the benchmark with predictions, JSON Lines.
    output
        Folder for the tables.
    against
        Another scorer's results on the same rows, to compare with.
    """

    results: Path
    output: Path
    against: Path | None = None


def main(options: Evaluate) -> None:
    """Write the tables and print the summary."""
    rows = _read(options.results)
    whole = summary(rows)
    if not whole:
        raise InputError(f"{options.results} holds no row of the split 'test' with a prediction")
    parts, more = detail(rows), extra(rows)
    compared = None if options.against is None else compare(rows, _read(options.against))
    for name, lines, columns in (
        ("summary", whole, SUMMARY),
        ("detail", parts, DETAIL),
        ("extra", more, EXTRA),
    ):
        write_text(options.output / f"metrics_{name}.csv", table(lines, columns))
    if compared is not None:
        write_text(options.output / "comparison.csv", table(compared, COMPARISON))
    together = {
        "results": str(options.results),
        "resamples": RESAMPLES,
        "summary": whole,
        "detail": parts,
        "extra": more,
        "reliability": _reliability(rows),
    }
    write_text(options.output / "metrics.json", json.dumps(together, indent=1) + "\n")
    print(table(whole, SUMMARY), end="")
    if compared is not None:
        print(table(compared, COMPARISON), end="")


def _read(path: Path) -> list[Row]:
    return [row for _, row in read_jsonl(path)]


def _reliability(rows: list[Row]) -> list[dict[str, Any]]:
    """Return how often the scorer is right by how sure it is (`reliability_of`), for each task with pairs."""
    found = []
    for dataset, tasks in PREFERENCE_TASKS.items():
        for task in tasks:
            known = [
                (pair.gap, pair.gold)
                for pair in judged_pairs(tested(rows)[dataset], task)
                if pair.gap is not None
            ]
            bins = reliability_of([gap for gap, _ in known], [label for _, label in known])
            found += [{"dataset": dataset, "task": task, **vars(one)} for one in bins]
    return found
