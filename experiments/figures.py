"""What experiments write for people: tables, a page, and figures of one style."""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from music.drawing import write_figure
from music.durable import write_text
from music.intervals import Estimate
from music.provenance import write_run_record
from music.tables import csv_table
from reward.benchmark.metrics import Line

COLOURS = ("#1f5f8b", "#c2571a", "#4a8a3d", "#8e3b7e", "#b58900", "#2a9d8f", "#d6431f", "#5b4b8a")


def write_report(
    folder: Path,
    options: Any,
    tables: Mapping[str, tuple[Sequence[Line], Sequence[str]]],
    page: str,
    **facts: Any,
) -> None:
    """Write an analysis and print its page.

    Parameters
    ----------
    folder
        Folder to write to.
    options
        Options of the command, for `run.json`.
    tables
        Lines and columns, by the name of the file without ".csv".
    page
        Markdown, for `table.md`.
    facts
        Anything else worth keeping in `run.json`.
    """
    for name, (lines, columns) in tables.items():
        write_text(folder / f"{name}.csv", csv_table(lines, columns))
    write_text(folder / "table.md", page)
    write_run_record(folder, options, **facts)
    print(page, end="")


def shown(line: Mapping[str, Any], digits: int = 3, name: str = "value") -> str:
    """Return a number of a line with its interval, "0.712 [0.690, 0.733]", as far as they are known."""
    value, low, high = (math.nan if line.get(part) is None else line[part] for part in (name, "low", "high"))
    return f"{Estimate(value, low, high):.{digits}f}"


@contextmanager
def drawing(path: Path, lines: int, columns: int, size: tuple[float, float], **shared: Any) -> Iterator[Any]:
    """Yield the axes `[lines, columns]` of a figure, which is written when the block ends."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    axes = figure.subplots(lines, columns, squeeze=False, **shared)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    yield axes
    figure.tight_layout()
    write_figure(figure, path, dpi=130)


def draw_dots(
    axis: Any,
    lines: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    scale: float = 1,
    colour: str = COLOURS[0],
    hollow: Container[int] = (),
) -> None:
    """Draw values with their intervals below each other, each beside its name; those in `hollow` as circles."""
    for row, line in enumerate(lines):
        value, low, high = (line.get(part) for part in ("value", "low", "high"))
        if isinstance(low, float) and isinstance(high, float):
            axis.plot([scale * low, scale * high], [row, row], color=colour, linewidth=2)
        if isinstance(value, float):
            fill = "white" if row in hollow else colour
            axis.plot(scale * value, row, "o", color=colour, markerfacecolor=fill)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
