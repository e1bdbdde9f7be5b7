"""Where a measured model stands in the paper's tables, among the published ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from reward.benchmark.metrics import Line
from reward.benchmark.paper_tables import MEASURED, PUBLISHED, TABLES, measured, published


@dataclass(frozen=True)
class Entry:
    """A cell: the number as printed, perhaps empty, and the place of the measured model, 1 for the highest."""

    text: str
    place: int | None = None


@dataclass(frozen=True)
class Standing:
    """A table of the paper with the measured model in its place.

    Attributes
    ----------
    caption
        What it shows.
    columns
        Their titles.
    sorted_by
        The column that rows are sorted by, the highest first: the first one in which the model was measured. That model
        stands last where its numbers do not compare.
    rows
        Model, source and entries.
    known
        How many models have a number in each column.
    """

    caption: str
    columns: Sequence[str]
    sorted_by: int
    rows: Sequence[tuple[str, str, Sequence[Entry]]]
    known: Sequence[int]


def standings(model: str, lines: Sequence[Line], compares: bool) -> list[Standing]:
    """Return the tables in which a model with `lines` (`paper_tables.all_lines`) has a number.

    It has a place only if it `compares`: if it was measured on the published rows (`paper_tables.caution`).
    """
    found = (_standing(name, model, lines, compares) for name in TABLES)
    return [standing for standing in found if standing is not None]


def _standing(name: str, model: str, lines: Sequence[Line], compares: bool) -> Standing | None:
    table = TABLES[name]
    columns = list(table.columns)
    ours = measured(name, model, lines)
    others = published(name)
    sorted_by = next((place for place, title in enumerate(columns) if ours[title]), None)
    if sorted_by is None:
        return None
    entries = [
        Entry(
            ours[title],
            _place(ours[title], [row[title] for row in others]) if compares and ours[title] else None,
        )
        for title in columns
    ]
    rows = [(row["model"], PUBLISHED, [Entry(row[title]) for title in columns]) for row in others]
    rows = sorted(
        [(ours["model"], MEASURED, entries), *rows],
        key=lambda row: (not compares and row[1] == MEASURED, -_number(row[2][sorted_by].text)),
    )
    known = [sum(bool(row[2][place].text) for row in rows) for place in range(len(columns))]
    return Standing(table.caption, columns, sorted_by, rows, known)


def _place(ours: str, others: Sequence[str]) -> int:
    return 1 + sum(_number(other) > float(ours) for other in others)


def _number(text: str) -> float:
    """Return a printed number; what is empty is below all."""
    return float(text) if text else -float("inf")
