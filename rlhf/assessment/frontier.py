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

from music.drawing import ACCENT, INK, MUTED, SIZE, figure_and_axes, png_panels, round_ticks, svg
from music.intervals import Estimate
from rlhf.assessment.comparison import JUDGE, PROXY, Line, Metric
from rlhf.assessment.divergence import UNITS

_ROUND = re.compile(r"round_\d+")  # of one training


@dataclass(frozen=True)
class Panel:
    """One metric of a frontier.

    Attributes
    ----------
    metric
        The metric.
    names
        Names of the models, in order.
    divergences, differences
        Divergence of each of them, and difference of the metric from the base.
    unit
        Unit of the divergence.
    """

    metric: Metric
    names: Sequence[str]
    divergences: Sequence[Estimate]
    differences: Sequence[Estimate]
    unit: str

    @property
    def title(self) -> str:
        """The metric and what it is."""
        role = "proxy" if self.metric.kind == PROXY else "judge"
        return f"{self.metric.name} ({role if self.metric.independent is not False else 'not independent'})"


def panels(lines: Sequence[Line]) -> list[Panel]:
    """Return a panel for each metric of proxy and judges; none if no model has a divergence."""
    single = [line for line in lines if line.best_of == 1 and line.difference is not None]
    gone = {line.model: line.value for line in single if line.metric.name in UNITS}
    unit = next((UNITS[line.metric.name] for line in single if line.metric.name in UNITS), "")
    found = []
    for metric in dict.fromkeys(line.metric for line in single if line.metric.kind in (PROXY, JUDGE)):
        moved = {
            line.model: line.difference
            for line in single
            if line.metric == metric and line.model in gone and line.difference is not None
        }
        if moved:
            divergences = [gone[name] for name in moved]
            found.append(Panel(metric, list(moved), divergences, list(moved.values()), unit))
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
    across = [math.sqrt(max(0.0, one.value)) for one in panel.divergences]
    up = [one.value for one in panel.differences]
    style = "-" if panel.metric.independent is not False else ":"
    axes.axhline(0, color=beside, linewidth=0.9, linestyle=(0, (3, 3)))
    if all(map(_ROUND.fullmatch, panel.names)):
        axes.plot([0, *across], [0, *up], style, color=colour, linewidth=0.8, alpha=0.6)
    axes.plot([0, *across], [0, *up], "o", color=colour, markersize=5)
    for x, y, far, gained, name in zip(
        across, up, panel.divergences, panel.differences, panel.names, strict=True
    ):
        if not math.isnan(gained.low):
            axes.vlines(x, gained.low, gained.high, color=colour, linewidth=1.2)
        if not math.isnan(far.low):
            axes.hlines(
                y, math.sqrt(max(0.0, far.low)), math.sqrt(max(0.0, far.high)), color=colour, linewidth=1.2
            )
        axes.annotate(name, (x, y), xytext=(5, 5), textcoords="offset points", color=beside, fontsize=size)
    axes.set_xlabel(f"square root of divergence ({panel.unit})", color=beside)
    axes.set_ylabel("difference from base", color=beside)
    axes.margins(x=0.2, y=0.15)


def draw_frontier(lines: Sequence[Line], path: Path) -> None:
    """Draw all panels into a PNG; nothing if there is none."""
    if found := panels(lines):
        figure, grid = png_panels([panel.title for panel in found], 4.6, 3.4)
        for axes, panel in zip(grid, found, strict=True):
            draw_panel(axes, panel, ("#d6431f", "#1d1b22", "#6d6875"), 8)
        figure.savefig(path, dpi=110)


def svg_panels(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Return title and ``<svg>`` of each panel, in the colours of a page."""
    drawn = []
    for panel in panels(lines):
        figure, axes = figure_and_axes(4.2, 3.2)
        draw_panel(axes, panel, (ACCENT, INK, MUTED), SIZE)
        axes.xaxis.set_major_locator(round_ticks(5))
        axes.yaxis.set_major_locator(round_ticks(5))
        drawn.append((panel.title, svg(figure, f"{panel.title} against the divergence")))
    return drawn
