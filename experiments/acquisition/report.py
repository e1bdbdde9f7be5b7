"""Table and drawing of a comparison of ways to choose pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.acquisition.curves import BEST, RANDOM, Point
from experiments.acquisition.options import CompareAcquisitions
from experiments.figures import drawing, write_report
from music.intervals import Estimate, telling_digits
from music.tables import markdown_table

_COLOURS = ("#6d6875", "#1f5f8b", "#c2571a", "#4a8a3d", "#8e3b7e", "#b58900")
_COLUMNS = ("measure", "metric", "acquisition", "answers", "value", "low", "high")
_DIFFERENCES = ("gain", "to_random", "to_twice")


def write_curves(options: CompareAcquisitions, points: Sequence[Point]) -> None:
    """Write ``table.csv``, ``table.md``, ``curves.png`` and ``run.json``.

    Parameters
    ----------
    options
        Options of the command.
    points
        What was found.
    """
    named = [f"{name}{end}" for name in _DIFFERENCES for end in ("", "_low", "_high")]
    _draw(options.output / "curves.png", points)
    page = _page(options, points)
    write_report(
        options.output, options, {"table": ([_line(one) for one in points], [*_COLUMNS, *named])}, page
    )


def _line(point: Point) -> dict[str, Any]:
    own = {
        "measure": point.measure,
        "metric": point.metric,
        "acquisition": point.way,
        "answers": point.answers,
    }
    found = own | point.value.columns()
    for name in _DIFFERENCES:
        found |= getattr(point, name).columns(name, f"{name}_low", f"{name}_high")
    return found


def _page(options: CompareAcquisitions, points: Sequence[Point]) -> str:
    n, seeds = options.held_out_n, f"{options.seeds} seed{'s' * (options.seeds > 1)}"
    parts = [
        "## Which pairs to ask about\n",
        f"{options.budget} answers in each round, {seeds}: what judges say of the reward's best of {n} on the "
        f"prompts of {options.held_out}, and how alike both order the candidates of a prompt (Spearman). "
        "Means with 95 % intervals over prompts and seeds; differences are paired by both. A star: the "
        "interval does not hold 0.\n",
    ]
    for measure, metric in dict.fromkeys((one.measure, one.metric) for one in points):
        own = [one for one in points if (one.measure, one.metric) == (measure, metric)]
        parts += [
            f"### {_title(measure, n)}: {metric}\n",
            _table(own),
            *_statements(own),
            "",
        ]
    return "\n".join(parts)


def _table(points: Sequence[Point]) -> str:
    digits = telling_digits(one.value for one in points)
    first = next(one for one in points if not one.answers)
    rows = [["(first reward)", "0", f"{first.value:.{digits}f}", "", ""]]
    rows += [
        [one.way, f"{one.answers:,}", f"{one.value:.{digits}f}", _starred(one.gain), _starred(one.to_random)]
        for one in points
        if one.answers
    ]
    return markdown_table(["acquisition", "answers", "mean", "gain", "difference from random"], rows)


def _statements(points: Sequence[Point]) -> list[str]:
    """Return how each way compares with `random` after twice as many answers."""
    return [
        f"- {one.way}, {one.answers:,} answers against {2 * one.answers:,} at random: {_starred(one.to_twice)}."
        for one in points
        if one.way != RANDOM and one.to_twice.value == one.to_twice.value
    ]


def _starred(one: Estimate) -> str:
    return f"{one:+.3f}{'*' * one.differs}"


def _title(measure: str, n: int) -> str:
    return f"Best of {n}" if measure == BEST else "Order within a prompt"


def _draw(path: Any, points: Sequence[Point]) -> None:
    """Draw the gains over the first reward: a line of panels for each measure, in it a panel for each metric."""
    measures, metrics = (
        list(dict.fromkeys(getattr(one, name) for one in points)) for name in ("measure", "metric")
    )
    ways = list(dict.fromkeys(one.way for one in points))
    size = (3.6 * len(metrics) + 0.6, 2.8 * len(measures) + 0.3)
    step = max(one.answers for one in points) / 80  # between ways, so that intervals do not hide each other
    with drawing(path, len(measures), len(metrics), size) as axes:
        for line, measure in zip(axes, measures, strict=True):
            for axis, metric in zip(line, metrics, strict=True):
                for place, way in enumerate(ways):
                    own = [
                        one
                        for one in points
                        if (one.measure, one.metric, one.way) == (measure, metric, way) and one.answers
                    ]
                    at = [one.answers + step * (place - (len(ways) - 1) / 2) for one in own]
                    gained, colour = [one.gain for one in own], _COLOURS[place % len(_COLOURS)]
                    axis.plot(
                        [0, *at],
                        [0, *(one.value for one in gained)],
                        "o-",
                        color=colour,
                        label=way,
                        markersize=3,
                    )
                    for x, one in zip(at, gained, strict=True):
                        axis.plot([x, x], [one.low, one.high], color=colour, linewidth=0.9, alpha=0.6)
                axis.set_title(f"{metric}, {measure}: gain", fontsize=9)
                axis.set_xlabel("answers", fontsize=8)
        axes[0, 0].legend(fontsize=7)
