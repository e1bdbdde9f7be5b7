"""What the analyses write: tables as CSV, a page for people, and dots with their intervals."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from music.durable import make_folder, write_text
from music.provenance import write_run_record
from reward.benchmark.metrics import Line, table

COLOURS = ("#1f5f8b", "#c2571a", "#4a8a3d")


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
        Where to.
    options
        Of the command, for `run.json`.
    tables
        By the name of the file without ".csv": lines and columns.
    page
        Markdown, for `table.md`.
    facts
        Anything else worth keeping in `run.json`.
    """
    for name, (lines, columns) in tables.items():
        write_text(folder / f"{name}.csv", table(lines, columns))
    write_text(folder / "table.md", page)
    write_run_record(folder, options, **facts)
    print(page, end="")


def shown(line: Mapping[str, Any], digits: int = 3, name: str = "value") -> str:
    """Return a number of a line with its interval, "0.712 [0.690, 0.733]", as far as they are known."""
    value, low, high = (line.get(part) for part in (name, "low", "high"))
    if value is None:
        return "–"
    told = f"{value:.{digits}f}"
    return told if low is None or high is None else f"{told} [{low:.{digits}f}, {high:.{digits}f}]"


@contextmanager
def drawing(path: Path, lines: int, columns: int, size: tuple[float, float], **shared: Any) -> Iterator[Any]:
    """Yield the axes `[lines, columns]` of a figure, which is written when the block ends."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(lines, columns, figsize=size, squeeze=False, **shared)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    try:
        yield axes
        figure.tight_layout()
        make_folder(path.parent)
        figure.savefig(path, dpi=130)
    finally:
        pyplot.close(figure)


def draw_dots(axis: Any, lines: Sequence[Line], names: Sequence[str], scale: float = 1) -> None:
    """Draw values with their intervals below each other, each beside its name."""
    for row, line in enumerate(lines):
        value, low, high = (line.get(part) for part in ("value", "low", "high"))
        if isinstance(low, float) and isinstance(high, float):
            axis.plot([scale * low, scale * high], [row, row], color=COLOURS[0], linewidth=2)
        if isinstance(value, float):
            axis.plot(scale * value, row, "o", color=COLOURS[0])
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
