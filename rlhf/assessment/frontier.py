"""What models gained against how far they went: the proxy and each judge against the root of the divergence.

Where the proxy rises on and a judge turns down, the reward is being exploited (arXiv 2210.10760).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.drawing import (
    ACCENT,
    INK,
    MUTED,
    SIZE,
    figure_and_axes,
    png_panels,
    round_ticks,
    svg,
    write_figure,
)
from music.intervals import Estimate
from rlhf.assessment.comparison import JUDGE, PROXY, Metric, MetricOfModel
from rlhf.assessment.divergence import UNITS

_ROUND = re.compile(r"round_\d+")  # of one training


@dataclass(frozen=True)
class Panel:
    """One metric of a frontier.

    Attributes
    ----------
    metric
        The metric.
    points
        Name of each model, its divergence, and the difference of the metric from the base.
    unit
        Unit of the divergence.
    """

    metric: Metric
    points: Sequence[tuple[str, Estimate, Estimate]]
    unit: str

    @property
    def title(self) -> str:
        """The metric and what it is."""
        role = "proxy" if self.metric.kind == PROXY else "judge"
        return f"{self.metric.name} ({role if self.metric.independent is not False else 'not independent'})"


def panels(lines: Sequence[MetricOfModel]) -> list[Panel]:
    """Return a panel for each metric of proxy and judges; none if no model has a divergence."""
    single = [line for line in lines if line.best_of == 1 and line.difference is not None]
    gone = {line.model: line.value for line in single if line.metric.name in UNITS}
    unit = next((UNITS[line.metric.name] for line in single if line.metric.name in UNITS), "")
    found = []
    for metric in dict.fromkeys(line.metric for line in single if line.metric.kind in (PROXY, JUDGE)):
        points = [
            (line.model, gone[line.model], line.difference)
            for line in single
            if line.metric == metric and line.model in gone and line.difference is not None
        ]
        if points:
            found.append(Panel(metric, points, unit))
    return found


def draw_panel(axes: Any, panel: Panel, colours: tuple[str, str, str], size: float) -> None:
    """Draw a panel: a point a model with the 95 % intervals of both, the base at the origin; rounds are joined.

    Parameters
    ----------
    axes
        Axes of matplotlib.
    panel
        The panel.
    colours
        Colours of the proxy, of a judge, and of lines and letters beside them.
    size
        Size of the letters, points.
    """
    proxy, judge, beside = colours
    colour = proxy if panel.metric.kind == PROXY else judge
    across = [_root(divergence.value) for _, divergence, _ in panel.points]
    up = [difference.value for *_, difference in panel.points]
    style = "-" if panel.metric.independent is not False else ":"
    axes.axhline(0, color=beside, linewidth=0.9, linestyle=(0, (3, 3)))
    if all(_ROUND.fullmatch(name) for name, *_ in panel.points):
        axes.plot([0, *across], [0, *up], style, color=colour, linewidth=0.8, alpha=0.6)
    axes.plot([0, *across], [0, *up], "o", color=colour, markersize=5)
    for x, y, (name, divergence, difference) in zip(across, up, panel.points, strict=True):
        axes.plot([x, x], [difference.low, difference.high], color=colour, linewidth=1.2)
        axes.plot([_root(divergence.low), _root(divergence.high)], [y, y], color=colour, linewidth=1.2)
        axes.annotate(name, (x, y), xytext=(5, 5), textcoords="offset points", color=beside, fontsize=size)
    axes.set_xlabel(f"square root of divergence ({panel.unit})", color=beside)
    axes.set_ylabel("difference from base", color=beside)
    axes.margins(x=0.2, y=0.15)


def _root(divergence: float) -> float:
    """Return the square root, 0 of what is below it; NaN of NaN."""
    return math.sqrt(divergence) if not divergence < 0 else 0.0


def draw_frontier(lines: Sequence[MetricOfModel], path: Path) -> None:
    """Draw all panels into a PNG; nothing if there is none."""
    if found := panels(lines):
        figure, grid = png_panels([panel.title for panel in found], 4.6, 3.4)
        for axes, panel in zip(grid, found, strict=True):
            draw_panel(axes, panel, ("#d6431f", "#1d1b22", "#6d6875"), 8)
        write_figure(figure, path, dpi=110)


def svg_panels(lines: Sequence[MetricOfModel]) -> list[tuple[str, str]]:
    """Return title and ``<svg>`` of each panel, in the colours of a page."""
    drawn = []
    for panel in panels(lines):
        figure, axes = figure_and_axes(4.2, 3.2)
        draw_panel(axes, panel, (ACCENT, INK, MUTED), SIZE)
        axes.xaxis.set_major_locator(round_ticks(5))
        axes.yaxis.set_major_locator(round_ticks(5))
        drawn.append((panel.title, svg(figure, f"{panel.title} against the divergence")))
    return drawn
