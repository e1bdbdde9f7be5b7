"""The drawings of the report (`music.drawing`): predictions against opinions, and how often a sure scorer is right.

Each is one ``<svg>`` element.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from music.drawing import ACCENT, INK, LINE, MUTED, figure_and_axes, round_ticks, svg
from reward.benchmark.metrics import Line

MOST_POINTS = 2_000


def scatter(points: Sequence[tuple[float, float]], title: str) -> str:
    """Draw mean opinions against predictions, `[n, 2]`; at most `MOST_POINTS` of them, evenly taken."""
    kept = np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int)
    opinions, predictions = np.array(points)[kept].T
    figure, axes = _axes("mean opinion of people", "predicted")
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    axes.plot(opinions, predictions, "o", color=ACCENT, markersize=4, markeredgewidth=0, alpha=0.4)
    axes.xaxis.set_major_locator(round_ticks(5))
    axes.yaxis.set_major_locator(round_ticks(5))
    return svg(figure, f"{title}: predictions against mean opinions")


def reliability(bins: Sequence[Line], title: str) -> str:
    """Draw how often the scorer is right against how sure it is; areas of dots are as the numbers of pairs.

    The bins are lines of `reliability` in ``metrics.json``.
    """
    table = np.array([[line[name] for name in ("sure", "right", "low", "high", "pairs")] for line in bins])
    sure, right, low, high, pairs = table.astype(float).T
    figure, axes = _axes("how sure the scorer is, %", "how often it is right, %")
    axes.plot([0.5, 1], [0.5, 1], color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
    axes.vlines(sure, low, high, color=INK, linewidth=1.3)
    sizes = 20 + 180 * pairs / pairs.max()
    axes.scatter(sure, right, s=sizes, color=ACCENT, linewidths=0, zorder=3, clip_on=False)
    percents = np.arange(0, 101, 10)
    axes.set_xticks(percents[5:] / 100, labels=map(str, percents[5:]))
    axes.set_yticks(percents[::2] / 100, labels=map(str, percents[::2]))
    axes.set_xlim(0.49, 1.01)
    axes.set_ylim(0, 1.02)
    return svg(figure, f"{title}: how often the scorer is right by how sure it is")


def _axes(below: str, beside: str) -> tuple[Any, Any]:
    figure, axes = figure_and_axes(4.2, 3.4)
    axes.set_xlabel(below, color=MUTED)
    axes.set_ylabel(beside, color=MUTED)
    return figure, axes
