"""Tables, figures and the page of an analysis."""

import base64
import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.ab_test.agreement import STRATA, shown
from experiments.ab_test.findings import Findings
from experiments.ab_test.study import HEADS, Study
from experiments.ab_test.wins import WinRate
from music.durable import make_folder, write_bytes, write_text
from music.tables import latex_table, markdown_table
from reward.benchmark.intervals import Estimate

_COLOURS = {"alignment": "#1f5f8b", "musicality": "#b8350f"}
_COMMENTS = 60  # on the page


def write_all(folder: Path, study: Study, findings: Findings) -> str:
    """Write every file of an analysis, and return the win rates for a terminal."""
    make_folder(folder)
    heads = findings.heads
    _write_csv(
        folder / "wins.csv", [{"head": head, **vars(line)} for head in HEADS for line in heads[head].wins]
    )
    _write_csv(
        folder / "strengths.csv",
        [{"head": head, **vars(line)} for head in HEADS for line in heads[head].strengths],
    )
    _write_csv(folder / "agreement.csv", list(_agreement_rows(findings)))
    _write_csv(
        folder / "raters.csv", [{**vars(one), "reasons": "; ".join(one.reasons)} for one in findings.raters]
    )
    if findings.scorers:
        _write_csv(
            folder / "scorers.csv",
            [
                {"scorer": one.scorer, "metric": one.metric, "head": one.head, "confidence": one.confidence,
                 "votes": one.accuracy.rows, **shown(one.accuracy)}
                for one in findings.scorers
            ],
        )  # fmt: skip
    note = describe(findings)
    tables = {f"wins_{head}": win_table(findings, head) for head in HEADS}
    tables["strengths"] = strength_table(findings)
    for name, table in tables.items():
        write_text(folder / f"{name}.tex", latex_table(*table, note))
    pictures = {"wins": draw_wins(findings), "strengths": draw_strengths(findings)}
    for name, picture in pictures.items():
        write_bytes(folder / f"{name}.png", picture)
    write_text(folder / "report.html", _page(study, findings, note, pictures))
    return "\n".join([f"{note}\n", *(markdown_table(*table) for table in tables.values())])


def describe(findings: Findings) -> str:
    """Return in a sentence or two what the numbers rest on."""
    kept = [one for one in findings.raters if not one.reasons]
    return (
        f"{findings.votes} votes of {len(kept)} raters on {findings.prompts} prompts "
        f"({len(findings.raters) - len(kept)} raters left out). Win rates of the first system with ties split, 95 % "
        "Wilson intervals, then intervals over raters; p of an exact binomial test of one side on votes that are no "
        "ties, adjusted by Holm."
    )


def win_table(findings: Findings, head: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: two systems a row."""
    header = [head, "wins / ties / losses", "win rate, %", "over raters", "p"]
    rows = [
        [
            f"{line.first} over {line.second}",
            f"{line.wins} / {line.ties} / {line.losses}",
            f"{100 * line.rate:.1f} {_interval(100 * line.low, 100 * line.high, 1)}",
            _interval(100 * line.rater_low, 100 * line.rater_high, 1),
            _probability(line.p_holm),
        ]
        for line in findings.heads[head].wins
    ]
    return header, rows


def strength_table(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: a system a row."""
    header = ["system", *(f"{head}: strength" for head in HEADS)]
    rows = []
    for place, system in enumerate(findings.systems):
        found = [findings.heads[head].strengths[place] for head in HEADS]
        rows.append([system, *(f"{one.strength:+.2f} {_interval(one.low, one.high, 2)}" for one in found)])
    return header, rows


def draw_wins(findings: Findings) -> bytes:
    """Return a PNG: a dot with its interval for each two systems and question."""
    lines = {head: findings.heads[head].wins for head in HEADS}
    names = [f"{line.first} over {line.second}" for line in lines[HEADS[0]]]
    values = {
        head: [
            (100 * one.rate, 100 * _or(one.rater_low, one.low), 100 * _or(one.rater_high, one.high))
            for one in found
        ]
        for head, found in lines.items()
    }
    return _dots(names, values, "win rate of the first, %", 50)


def draw_strengths(findings: Findings) -> bytes:
    """Return a PNG: a dot with its interval for each system and question."""
    values = {
        head: [
            (one.strength, _or(one.low, one.strength), _or(one.high, one.strength))
            for one in findings.heads[head].strengths
        ]
        for head in HEADS
    }
    return _dots(list(findings.systems), values, "Bradley-Terry strength, logits", 0)


def _dots(
    names: Sequence[str],
    values: Mapping[str, Sequence[tuple[float, float, float]]],
    label: str,
    middle: float,
) -> bytes:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 0.55 * len(names) + 1.2))
    axis.axvline(middle, color="#8b8496", linewidth=1)
    for number, (head, found) in enumerate(values.items()):
        for row, (value, low, high) in enumerate(found):
            place = row + 0.15 * (2 * number - 1)
            axis.plot([low, high], [place, place], color=_COLOURS[head], linewidth=2)
            axis.plot(value, place, "o", color=_COLOURS[head], label=head if row == 0 else None)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.legend(frameon=False, fontsize=9, loc="best")
    axis.grid(axis="x", alpha=0.3)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=160, metadata={"Software": None})
    pyplot.close(figure)
    return buffer.getvalue()


def _agreement_rows(findings: Findings) -> Iterable[dict[str, Any]]:
    for head in HEADS:
        found = findings.heads[head]
        if found.agreement:
            trials = {"head": head, "votes": found.agreement.trials}
            yield {**trials, "measure": "agreement rate (trials)", **shown(found.agreement.rate)}
            yield {**trials, "measure": "Krippendorff's alpha (trials)", **shown(found.agreement.alpha)}
        for stratum in found.strata:
            measure = f"agreement with the others, confidence {stratum.name}"
            yield {"head": head, "votes": stratum.votes, "measure": measure, **shown(stratum.agreement)}


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    buffer = io.StringIO()
    if rows:
        table = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    write_text(path, buffer.getvalue())


def _page(study: Study, findings: Findings, note: str, pictures: Mapping[str, bytes]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("experiments.ab_test"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["percent"] = lambda value: "–" if math.isnan(value) else f"{100 * value:.1f}"
    environment.filters["number"] = lambda value, digits: "–" if math.isnan(value) else f"{value:.{digits}f}"
    environment.filters["probability"] = _probability
    scorer_rows: dict[tuple[str, str, str], dict[str, Estimate]] = {}
    for one in findings.scorers:
        scorer_rows.setdefault((one.scorer, one.metric, one.head), {})[one.confidence] = one.accuracy
    return environment.get_template("analysis.html.j2").render(
        title=study.settings.title,
        study=study.id,
        note=note,
        findings=findings,
        matrices={head: _matrix(findings.systems, findings.heads[head].wins) for head in HEADS},
        pictures={name: base64.b64encode(data).decode("ascii") for name, data in pictures.items()},
        kept=[one for one in findings.raters if not one.reasons],
        comments=findings.comments[:_COMMENTS],
        scorer_rows=scorer_rows,
        scorer_columns=("all", *STRATA),
    )


def _matrix(systems: Sequence[str], wins: Sequence[WinRate]) -> list[list[WinRate | float | None]]:
    """Return for each row and column how often the system of the row won: a line, 1 - its rate below, or None."""
    known = {(one.first, one.second): one for one in wins}
    rows: list[list[WinRate | float | None]] = []
    for row in systems:
        cells: list[WinRate | float | None] = []
        for column in systems:
            mirrored = known.get((column, row))
            cells.append(known.get((row, column)) or (None if mirrored is None else 1 - mirrored.rate))
        rows.append(cells)
    return rows


def _interval(low: float, high: float, digits: int) -> str:
    return "–" if math.isnan(low) else f"[{low:.{digits}f}, {high:.{digits}f}]"


def _probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
