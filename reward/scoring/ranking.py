"""Scores for people: a ranked list and a table of clips, and why some have no score."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from music.tables import csv_table
from reward.protocol import judging

_REASONS = 10
_LONGEST = 60  # characters of a name in the list


@dataclass(frozen=True)
class ScoredClip:
    """A clip with its scores, or why it has none.

    Attributes
    ----------
    facts
        Columns that say which clip it is; the first is its name.
    scores
        Metrics; empty if there are none.
    error
        Why it could not be scored.
    """

    facts: Mapping[str, Any]
    scores: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def name(self) -> str:
        """What the list calls it."""
        return str(next(iter(self.facts.values())))

    @property
    def mean(self) -> float:
        """Mean of the metrics that judge it, which orders the list; lower than any if there are none."""
        names = judging(self.scores)
        return math.fsum(self.scores[name] for name in names) / len(names) if names else -math.inf


def ranked(clips: Sequence[ScoredClip]) -> list[ScoredClip]:
    """Return clips from the best to the worst; equals stay in order, those without scores come last."""
    return sorted(clips, key=lambda clip: -clip.mean)


def ranked_list(clips: Sequence[ScoredClip], metrics: Sequence[str], most: int | None = None) -> str:
    """Return a line for each scored clip, the best first.

    Parameters
    ----------
    clips
        Clips in any order.
    metrics
        Names of the columns.
    most
        Number of lines; the rest is counted.
    """
    order = [clip for clip in ranked(clips) if clip.scores]
    columns = list(dict.fromkeys([*(["mean"] if len(judging(metrics)) > 1 else []), *metrics]))
    rows = [["", *columns, "clip"]]
    for place, clip in enumerate(order[:most], start=1):
        numbers = {"mean": clip.mean, **clip.scores}
        rows.append([f"{place}", *(f"{numbers[name]:.4f}" for name in columns), _short(clip.name)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in rows
    ]
    if more := len(order) - len(order[:most]):
        lines.append(f"... and {more} more")
    return "\n".join(lines) if order else ""


def ranked_csv(clips: Sequence[ScoredClip], metrics: Sequence[str]) -> str:
    """Return all clips as CSV, the best first: rank, what they are, mean and metrics, and the error of those without.

    Texts and numbers are as they are, anything else is JSON.
    """
    known = list(dict.fromkeys(name for clip in clips for name in clip.facts))
    lines = []
    for place, clip in enumerate(ranked(clips), start=1):
        facts = {name: _cell(value) for name, value in clip.facts.items()}
        if not clip.scores:
            lines.append({**facts, "error": clip.error})
            continue
        lines.append({"rank": place, **facts, "mean": clip.mean, **clip.scores})
    return csv_table(lines, list(dict.fromkeys(["rank", *known, "mean", *metrics, "error"])))


def told_failures(clips: Sequence[ScoredClip]) -> list[str]:
    """Return a line for each of the first clips without scores, with the reason, and one that counts the others."""
    failed = [clip for clip in clips if clip.error]
    lines = [_one_line(f"{clip.name}: {clip.error}") for clip in failed[:_REASONS]]
    if more := len(failed) - len(lines):
        lines.append(f"... and {more} more failed")
    return lines


def _short(name: str) -> str:
    line = _one_line(name)
    return line if len(line) <= _LONGEST else f"...{line[3 - _LONGEST :]}"


def _one_line(text: str) -> str:
    """Return a text as a terminal shows it, without signs that would steer it."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))


def _cell(value: Any) -> Any:
    return (
        value
        if isinstance(value, str | int | float) or value is None
        else json.dumps(value, ensure_ascii=False)
    )
