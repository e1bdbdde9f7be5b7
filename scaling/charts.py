"""The drawings of the report (`music.drawing`): what each n brings, and every candidate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from music.drawing import ACCENT, INK, LINE, MUTED, QUIET, SIZE, figure_and_axes, round_ticks, svg
from music.intervals import Array

_MOST_PROMPTS = 60  # as many as can be told apart side by side


def curve(
    by_n: Mapping[str, Mapping[str, Any]],
    metric: str,
    chosen_by: bool,
    digits: int,
    marked: Sequence[int],
) -> str:
    """Draw a metric of the chosen candidate against n, with its 95 % band.

    Parameters
    ----------
    by_n
        ``by_n`` of ``summary.json``.
    metric
        Name of the metric.
    chosen_by
        Whether the reward is made of it (drawn in the accent colour) or it is only measured.
    digits
        Decimals of the values written beside the ends.
    marked
        Values of n, ascending, that get a dot and, where there is room, a label: first and last of `by_n` among them.

    Returns
    -------
    str
        One ``<svg>`` element.
    """
    numbers = [int(n) for n in by_n]
    means = [by_n[str(n)][metric]["mean"] for n in numbers]
    intervals = [by_n[str(n)][metric]["ci95"] for n in numbers]
    colour = ACCENT if chosen_by else INK
    figure, axes = figure_and_axes(4.2, 2.6)
    if all(intervals):
        axes.fill_between(numbers, *zip(*intervals, strict=True), color=colour, alpha=0.16, linewidth=0)
    dots = [numbers.index(n) for n in marked]
    line = {"color": colour, "linewidth": 2.2, "marker": "o", "markersize": 5}
    axes.plot(numbers, means, **line, markevery=dots, clip_on=False)
    axes.axhline(means[0], color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
    for index in {0, len(numbers) - 1}:
        place = (0, 9) if index else (6, -14)
        axes.annotate(
            f"{means[index]:.{digits}f}".replace("-", "−"),
            (numbers[index], means[index]),
            xytext=place,
            textcoords="offset points",
            ha="right" if index else "left",
            color=colour,
            fontsize=SIZE,
            fontweight="bold",
        )
    axes.set_xscale("log")
    axes.set_xlim(numbers[0] * 0.93, numbers[-1] * 1.05 if numbers[-1] > 1 else 2)
    axes.set_xticks(_apart(marked), labels=[str(n) for n in _apart(marked)])
    axes.minorticks_off()
    axes.set_xlabel("candidates to choose from, n", color=MUTED)
    axes.yaxis.set_major_locator(round_ticks(5))
    return svg(figure, f"{metric} of the chosen candidate against n")


def against_compute(
    by_n: Mapping[str, Mapping[str, Any]], metric: str, clips: float, found: Mapping[str, Any], method: str
) -> str:
    """Draw a metric of the chosen candidate against compute: best of n as a curve, and what a method found.

    Parameters
    ----------
    by_n
        ``by_n`` of best of n on the same prompts.
    metric
        Name of the metric.
    clips
        Compute of the method for each prompt, in finished and scored clips.
    found
        ``{"mean", "ci95"}`` of what the method chose.
    method
        Name of the method.

    Returns
    -------
    str
        One ``<svg>`` element.
    """
    numbers = [int(n) for n in by_n]
    means = [by_n[str(n)][metric]["mean"] for n in numbers]
    figure, axes = figure_and_axes(4.2, 2.6)
    axes.plot(numbers, means, color=INK, linewidth=1.8)
    axes.annotate(
        "best of n",
        (numbers[-1], means[-1]),
        xytext=(0, 6),
        textcoords="offset points",
        ha="right",
        color=INK,
    )
    if found["ci95"]:
        axes.vlines(clips, *found["ci95"], color=ACCENT, linewidth=1.6)
    axes.plot([clips], [found["mean"]], color=ACCENT, marker="o", markersize=7)
    axes.annotate(
        method,
        (clips, found["mean"]),
        xytext=(8, -12),
        textcoords="offset points",
        color=ACCENT,
        fontweight="bold",
    )
    axes.set_xlabel("finished and scored clips a prompt", color=MUTED)
    axes.yaxis.set_major_locator(round_ticks(5))
    return svg(figure, f"{metric} of the chosen candidate against compute")


def spread(rewards: Sequence[Array] | Array) -> str:
    """Draw the rewards of all candidates of P prompts, a column a prompt, prompts in order of their best."""
    most = max(map(len, rewards))
    table = np.array([np.pad(row, (0, most - len(row)), constant_values=np.nan) for row in rewards])
    best = np.nanmax(table, axis=1)
    order = np.argsort(best, kind="stable")[::-1]
    if len(order) > _MOST_PROMPTS:
        order = order[np.linspace(0, len(order) - 1, _MOST_PROMPTS).round().astype(int)]
    shown = table[order]
    columns = np.arange(len(shown))
    figure, axes = figure_and_axes(11, 3.2)
    axes.vlines(columns, np.nanmin(shown, axis=1), best[order], color=LINE, linewidth=1.4, zorder=1)
    for index in range(shown.shape[1]):
        axes.scatter(columns, shown[:, index], s=14, color=QUIET, linewidths=0, zorder=2)
    axes.scatter(columns, np.nanmean(shown, axis=1), s=110, marker="_", color=INK, linewidths=1.8, zorder=3)
    axes.scatter(columns, best[order], s=38, color=ACCENT, linewidths=0, zorder=4)
    axes.set_xticks([])
    axes.set_xlim(-0.8, len(shown) - 0.2)
    axes.set_xlabel(f"{len(shown)} prompts, by the reward of their best candidate", color=MUTED, loc="left")
    axes.set_ylabel("reward", color=MUTED)
    axes.yaxis.set_major_locator(round_ticks(5))
    return svg(figure, "rewards of all candidates of each prompt")


def _apart(numbers: Sequence[int]) -> list[int]:
    """Return the numbers whose labels do not touch on a logarithmic axis; the ends always stay."""
    kept = [numbers[-1]]
    span = max(numbers[-1] / numbers[0], 1.0001)
    for n in reversed(numbers[:-1]):
        gap = np.log(kept[-1] / n) / np.log(span)
        if gap > 0.07 and (n == numbers[0] or np.log(n / numbers[0]) / np.log(span) > 0.07):
            kept.append(n)
    return kept[::-1]
