"""Tables, figures and the page of an analysis."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.ab_test.analysis.agreement import STRATA, ScorerAgreement
from experiments.ab_test.analysis.findings import Findings
from experiments.ab_test.analysis.wins import WinRate
from experiments.ab_test.study import HEADS
from experiments.figures import draw_dots, drawing
from music.durable import make_folder, write_text
from music.intervals import Estimate
from music.tables import csv_table, latex_table, markdown_table
from music.web_page import write_page

_COMMENTS = 60  # on the page


def write_all(folder: Path, title: str, findings: Findings, facts: Mapping[str, str]) -> str:
    """Write every file of an analysis, and return the win rates for a terminal.

    Parameters
    ----------
    folder
        Folder to write to.
    title
        Title of the study.
    findings
        What to write.
    facts
        What ran, for the page: label and value, in order.
    """
    make_folder(folder)
    for name, rows in csv_rows(findings).items():
        if rows:
            write_text(folder / f"{name}.csv", csv_table(rows, list(rows[0])))
    note = describe(findings)
    tables = {f"wins_{head}": win_table(findings, head) for head in HEADS}
    tables["strengths"] = strength_table(findings)
    for name, found in tables.items():
        write_text(folder / f"{name}.tex", latex_table(*found, note))
    draw_wins(findings, folder / "wins.png")
    draw_strengths(findings, folder / "strengths.png")
    pictures = {
        name: base64.b64encode((folder / f"{name}.png").read_bytes()).decode("ascii")
        for name in ("wins", "strengths")
    }
    context = {
        "title": title,
        "note": note,
        "findings": findings,
        "matrices": {head: _matrix(findings.systems, findings.heads[head].wins) for head in HEADS},
        "pictures": pictures,
        "comments": findings.comments[:_COMMENTS],
        "scorer_rows": _by_scorer(findings.scorers),
        "strata": list(STRATA),
        "probability": _probability,
        "facts": facts,
    }
    write_page(folder / "report.html", "experiments.ab_test", context)
    return "\n".join([f"{note}\n", *(markdown_table(*found) for found in tables.values())])


def csv_rows(findings: Findings) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each file of numbers, by its name without ".csv"."""
    heads = findings.heads
    return {
        "wins": [{"head": head, **vars(line)} for head in HEADS for line in heads[head].wins],
        "strengths": [
            {"head": head, "system": system, "strength": one.value, "low": one.low, "high": one.high}
            for head in HEADS
            for system, one in heads[head].strengths.items()
        ],
        "agreement": list(_agreement_rows(findings)),
        "raters": [{**vars(one), "reasons": "; ".join(one.reasons)} for one in findings.raters],
        "scorers": [
            {"scorer": one.scorer, "metric": one.metric, "head": one.head, "confidence": one.confidence,
             "votes": one.accuracy.rows, **_parts(one.accuracy)}
            for one in findings.scorers
        ],
    }  # fmt: skip


def describe(findings: Findings) -> str:
    """Return in two sentences what the numbers rest on."""
    kept = len(findings.kept)
    return (
        f"{findings.votes} votes of {kept} raters on {findings.prompts} prompts "
        f"({len(findings.raters) - kept} raters left out). Win rates of the first system with ties split, 95 % "
        "Wilson intervals, then intervals over raters; p of a one-sided exact binomial test on votes that are no "
        "ties, adjusted by Holm."
    )


def win_table(findings: Findings, head: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: two systems a row."""
    header = [head, "wins / ties / losses", "win rate, %", "over raters", "p"]
    rows = [
        [
            f"{line.first} over {line.second}",
            f"{line.wins} / {line.ties} / {line.losses}",
            f"{Estimate(100 * line.rate, 100 * line.low, 100 * line.high):.1f}",
            "–"
            if math.isnan(line.rater_low)
            else f"[{100 * line.rater_low:.1f}, {100 * line.rater_high:.1f}]",
            _probability(line.p_holm),
        ]
        for line in findings.heads[head].wins
    ]
    return header, rows


def strength_table(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: a system a row."""
    header = ["system", *(f"{head}: strength" for head in HEADS)]
    rows = [
        [system, *(f"{findings.heads[head].strengths[system]:+.2f}" for head in HEADS)]
        for system in findings.systems
    ]
    return header, rows


def draw_wins(findings: Findings, path: Path) -> None:
    """Draw the rate of each two systems, with its interval over raters, or Wilson's where there are too few."""
    names = [f"{line.first} over {line.second}" for line in findings.heads[HEADS[0]].wins]
    lines = {
        head: [
            Estimate(one.rate, one.low, one.high)
            if math.isnan(one.rater_low)
            else Estimate(one.rate, one.rater_low, one.rater_high)
            for one in found.wins
        ]
        for head, found in findings.heads.items()
    }
    _draw(path, names, lines, "win rate of the first, %", 50, scale=100)


def draw_strengths(findings: Findings, path: Path) -> None:
    """Draw the strength of each system, with its interval over raters if there are enough of them."""
    lines = {head: list(found.strengths.values()) for head, found in findings.heads.items()}
    _draw(path, findings.systems, lines, "Bradley-Terry strength, logits", 0)


def _draw(
    path: Path,
    names: Sequence[str],
    lines: Mapping[str, Sequence[Estimate]],
    label: str,
    middle: float,
    scale: float = 1,
) -> None:
    """Draw dots with their intervals, a panel for each head, and a line where there is no difference."""
    with drawing(path, 1, len(lines), (9.0, 0.45 * len(names) + 1.2), sharex=True, sharey=True) as axes:
        for axis, (head, found) in zip(axes[0], lines.items(), strict=True):
            axis.axvline(middle, color="#8b8496", linewidth=1)
            axis.set_title(head, fontsize=9)
            axis.set_xlabel(label, fontsize=8)
            draw_dots(axis, [_parts(one) for one in found], names, scale)


def _agreement_rows(findings: Findings) -> Iterable[dict[str, Any]]:
    for head in HEADS:
        found = findings.heads[head]
        if found.agreement:
            trials = {"head": head, "votes": found.agreement.trials}
            yield {**trials, "measure": "agreement rate (trials)", **_parts(found.agreement.rate)}
            yield {**trials, "measure": "Krippendorff's alpha (trials)", **_parts(found.agreement.alpha)}
        for stratum in found.strata:
            measure = f"agreement with the others, confidence {stratum.name}"
            yield {"head": head, "votes": stratum.votes, "measure": measure, **_parts(stratum.agreement)}


def _matrix(systems: Sequence[str], wins: Sequence[WinRate]) -> list[list[dict[str, float] | None]]:
    """Return for each row and column how often the system of the row won, with Wilson's interval, or None."""
    cells = {}
    for one in wins:
        cells[one.first, one.second] = {"value": one.rate, "low": one.low, "high": one.high}
        cells[one.second, one.first] = {"value": 1 - one.rate, "low": 1 - one.high, "high": 1 - one.low}
    return [[cells.get((row, column)) for column in systems] for row in systems]


def _by_scorer(scorers: Sequence[ScorerAgreement]) -> dict[tuple[str, str, str], dict[str, Estimate]]:
    """Return the accuracies by confidence of each scorer, metric and head."""
    rows: dict[tuple[str, str, str], dict[str, Estimate]] = {}
    for one in scorers:
        rows.setdefault((one.scorer, one.metric, one.head), {})[one.confidence] = one.accuracy
    return rows


def _parts(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
