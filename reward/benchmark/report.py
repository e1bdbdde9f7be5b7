"""``report.html``: what the benchmark found, on one page.

`write_report` shows the numbers of the tables as they are: published ones beside those measured here (`standing`),
groups as dots with their intervals (`panels`), drawings (`charts`), and what was left out (`coverage`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.web_page import write_page
from reward.benchmark.charts import reliability, scatter
from reward.benchmark.metrics import RATING_TASKS, Line, tested
from reward.benchmark.panels import METRICS, Panel, panels_of, sections_of
from reward.benchmark.paper_tables import all_lines, caution
from reward.benchmark.result_rows import Row, rating_of
from reward.benchmark.standing import standings
from reward.benchmark.wording import interval, number, question_of

#: of the findings, what `metrics.json` holds
PARTS = ("summary", "detail", "extra", "reliability", "coverage")
_MOST_ERRORS = 8
_OF_PAIRS = ("ACC", "ACC_decided", "people", "cross_entropy", "ECE")
_OF_RATINGS = ("SRCC", "LCC", "K-Tau")


@dataclass(frozen=True)
class BenchmarkResults:
    """What the rows with predictions of one scorer say.

    Attributes
    ----------
    name
        Name of the scorer.
    rows
        Rows of the split `test`.
    summary, detail, extra
        Lines of the three tables.
    reliability, coverage
        Lines as in ``metrics.json``.
    against
        Name of the other scorer; empty if there is none.
    comparison
        Lines of ``comparison.csv``.
    facts
        What ran: label and value, in order.
    """

    name: str
    rows: Sequence[Row]
    summary: Sequence[Line]
    detail: Sequence[Line]
    extra: Sequence[Line]
    reliability: Sequence[Line]
    coverage: Sequence[Line]
    against: str
    comparison: Sequence[Line]
    facts: Mapping[str, str]

    @property
    def caution(self) -> str:
        """Why the numbers do not compare with the published ones; empty if nothing speaks against it."""
        return caution(self.rows, self.summary)

    @property
    def lines(self) -> list[Line]:
        """The lines of the three tables, as the paper's tables read them."""
        return all_lines(self.summary, self.detail, self.extra)


def write_report(path: Path, findings: BenchmarkResults) -> None:
    """Write the page.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    errors = [str(row["error"]) for row in findings.rows if "error" in row]
    whole = _whole(findings.extra)
    context = {
        "name": findings.name,
        "against": findings.against,
        "headlines": [_headline(question, lines) for question, lines in whole.items()],
        "tables": _numbers(whole),
        "standings": standings(findings.name, findings.lines, compares=not findings.caution),
        "warning": findings.caution,
        "sections": sections_of(findings.extra),
        "reliabilities": _reliabilities(findings.reliability, whole),
        "scatters": _scatters(findings.rows, whole),
        "differences": _differences(findings.comparison),
        "comparison": [_compared(line) for line in findings.comparison],
        "coverage": [{"question": question_of(line), **line} for line in findings.coverage],
        "errors": errors[:_MOST_ERRORS],
        "more_errors": max(0, len(errors) - _MOST_ERRORS),
        "facts": findings.facts,
    }
    write_page(path, "reward.benchmark", context)


def _whole(extra: Sequence[Line]) -> dict[str, dict[str, Line]]:
    """Return question -> metric -> the line over all rows."""
    found: dict[str, dict[str, Line]] = {}
    for line in extra:
        if line["group_key"] == "all":
            found.setdefault(question_of(line), {})[str(line["metric"])] = line
    return {question: lines for question, lines in found.items() if lines.keys() & set(METRICS)}


def _cell(metric: str, line: Line | None) -> dict[str, str]:
    return {
        "value": number(metric, line["value"] if line else None),
        "interval": interval(metric, line) if line else "",
    }


def _headline(question: str, lines: Mapping[str, Line]) -> dict[str, Any]:
    metric = next(metric for metric in METRICS if metric in lines)
    people = _cell("people", lines["people"])["value"] if "people" in lines else ""
    return {
        "question": question,
        "metric": metric,
        "people": people,
        **_cell(metric, lines[metric]),
        "n": lines[metric]["n"],
        "prompts": lines[metric]["prompts"],
    }


def _numbers(whole: Mapping[str, Mapping[str, Line]]) -> list[dict[str, Any]]:
    """Return a table for pairs and one for ratings, with the metrics that any of their questions has."""
    tables = []
    for first, metrics in (("ACC", _OF_PAIRS), ("SRCC", _OF_RATINGS)):
        questions = {question: lines for question, lines in whole.items() if first in lines}
        known = [metric for metric in metrics if any(metric in lines for lines in questions.values())]
        rows = [
            {
                "question": question,
                "line": lines[first],
                "cells": [_cell(metric, lines.get(metric)) for metric in known],
            }
            for question, lines in questions.items()
        ]
        if rows:
            tables.append({"metrics": known, "rows": rows, "pairs": first == "ACC"})
    return tables


def _reliabilities(bins: Sequence[Line], whole: Mapping[str, Mapping[str, Line]]) -> list[dict[str, Any]]:
    found: dict[str, list[Line]] = {}
    for line in bins:
        found.setdefault(question_of(line), []).append(line)
    return [
        {
            "question": question,
            "error": _cell("ECE", whole[question]["ECE"])["value"],
            "drawing": reliability(lines, question),
        }
        for question, lines in found.items()
    ]


def _scatters(rows: Sequence[Row], whole: Mapping[str, Mapping[str, Line]]) -> list[dict[str, Any]]:
    found, of = [], tested(rows)
    for dataset, tasks in RATING_TASKS.items():
        for task in tasks:
            question = question_of({"dataset": dataset, "task": task})
            points = [pair for row in of[dataset] if (pair := rating_of(row, task)) is not None]
            if points:
                cells = {metric: _cell(metric, line) for metric, line in whole[question].items()}
                drawing = scatter(points, question)
                found.append({"question": question, "n": len(points), "cells": cells, "drawing": drawing})
    return found


def _differences(comparison: Sequence[Line]) -> list[Panel]:
    """Return a panel for accuracies and one for correlations."""
    titles = {"ACC": "Accuracy of preferences", "SRCC": "Correlation with mean opinions"}
    found = {
        title: (lines, 0.0)
        for metric, title in titles.items()
        if (lines := [line for line in comparison if line["metric"] == metric])
    }
    return panels_of(found, "difference", question_of, signed=True)


def _compared(line: Line) -> dict[str, Any]:
    metric = str(line["metric"])
    chance = line.get("mcnemar_p")
    return {
        **line,
        "question": question_of(line),
        "first": number(metric, line["first"]),
        "second": number(metric, line["second"]),
        "difference": number(metric, line["difference"], signed=True),
        "interval": interval(metric, line, signed=True),
        "chance": "" if chance is None else "< 0.001" if float(chance) < 0.001 else f"{float(chance):.3f}",
    }
