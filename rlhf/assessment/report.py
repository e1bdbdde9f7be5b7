"""What an assessment leaves: ``metrics.csv``, ``table.md``, ``frontier.png`` and ``report.html``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from music.durable import make_folder, write_text
from music.intervals import FEWEST, telling_digits
from music.tables import csv_table, markdown_table
from music.web_page import write_page
from rlhf.assessment.comparison import BASE, DIVERGENCE, DIVERSITY, JUDGE, PROXY, SOUND, Metric, MetricOfModel
from rlhf.assessment.frontier import draw_frontier, svg_panels

_HEADINGS = {
    (PROXY, JUDGE): "Proxy and judges",
    (DIVERGENCE,): "Divergence from the base",
    (DIVERSITY,): "Diversity, and distance to real clips",
    (SOUND,): "Sound",
}
NOTE = (
    "Means of the base and differences from it, paired by prompt and candidate, with 95 % intervals over prompts (none "
    f"of fewer than {FEWEST}, nor of Vendi score and KAD, which resampling biases); a star: the interval does not hold "
    "0. The proxy is the reward as it was trained on, guarded against level and silence (`rlhf.guarded_reward`). "
    "A judge that is *not independent* hears with features of the reward. k3 is in nats; velocity_mse is not; "
    "generators other than MusicGen and Stable Audio have no divergence."
)


def write_assessment(folder: Path, lines: Sequence[MetricOfModel], facts: Mapping[str, str]) -> str:
    """Write all of it and return the table for people.

    Parameters
    ----------
    folder
        Folder for the files.
    lines
        Lines of `rlhf.assessment.comparison.compare`.
    facts
        What ran, for the page: label and value.
    """
    make_folder(folder)
    rows = [line.row() for line in lines]
    write_text(folder / "metrics.csv", csv_table(rows, list(rows[0])))
    tables = tables_of(lines)
    parts = [f"## {title}\n\n{markdown_table(header, body)}\n" for title, header, body in tables]
    page = "".join(parts) + f"{NOTE}\n"
    write_text(folder / "table.md", page)
    draw_frontier(lines, folder / "frontier.png")
    context: dict[str, Any] = {"facts": facts, "tables": tables, "panels": svg_panels(lines), "note": NOTE}
    context["models"] = [name for name in dict.fromkeys(line.model for line in lines) if name != BASE]
    write_page(folder / "report.html", "rlhf", context)
    return page


def tables_of(lines: Sequence[MetricOfModel]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return title, header and rows of each table: a row a metric, a column a model."""
    models = list(dict.fromkeys(line.model for line in lines))
    found = []
    for n in sorted({line.best_of for line in lines}):
        for kinds, title in _HEADINGS.items():
            shown = [line for line in lines if line.best_of == n and line.metric.kind in kinds]
            rows = []
            for metric in dict.fromkeys(line.metric for line in shown):
                by_model = {line.model: line for line in shown if line.metric == metric}
                digits = telling_digits(
                    one for line in by_model.values() for one in (line.value, line.difference) if one
                )
                rows.append([_called(metric), *(_cell(by_model.get(model), digits) for model in models)])
            if rows:
                found.append((title if n == 1 else f"{title}, best of {n}", ["", *models], rows))
    return found


def _called(metric: Metric) -> str:
    if metric.independent is None:
        return f"{metric.name} (proxy)" if metric.kind == PROXY else metric.name
    return metric.name if metric.independent else f"{metric.name} (not independent)"


def _cell(line: MetricOfModel | None, digits: int) -> str:
    """Return the mean of the base, or the difference of another; of divergences the mean."""
    if line is None or math.isnan(line.value.value):
        return "–"
    if line.difference is None or line.model == BASE or line.metric.kind == DIVERGENCE:
        return f"{line.value:.{digits}f}"
    return f"{line.difference:+.{digits}f}{'*' * line.difference.differs}"
