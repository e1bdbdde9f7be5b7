"""Tables and figures of the ablations."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.ablations.testing import Interval
from music.durable import write_text

_TITLES = {
    "human": "all human pairs, %",
    "musicality": "musicality, %",
    "alignment": "alignment, %",
    "arena": "votes, %",
    "cross_entropy": "cross-entropy, nats",
    "PAM musicality": "PAM mus., SRCC",
    "PAM alignment": "PAM ali., SRCC",
    "MusicEval musicality": "MusicEval mus., SRCC",
}
_COLUMNS = 4  # panels side by side
_PERCENT = ("human", "musicality", "alignment", "arena")


def write_csv(path: Path, found: Mapping[str, Mapping[str, Interval]]) -> None:
    """Write a row for each arm and metric."""
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["arm", "metric", "mean", "low", "high"])
    for arm, metrics in found.items():
        for metric, value in metrics.items():
            table.writerow([arm, metric, value.mean, value.low, value.high])
    write_text(path, buffer.getvalue())


def markdown(
    title: str,
    paper: str,
    found: Mapping[str, Mapping[str, Interval]],
    contrasts: Sequence[Mapping[str, Any]],
    labels: Mapping[str, Mapping[str, Sequence[float]]],
    note: str,
) -> str:
    """Return a study for people."""
    metrics = list(next(iter(found.values())))
    lines = [f"## {title}", "", f"The paper: {paper}", "", note, ""]
    lines += [
        "| | " + " | ".join(_TITLES[metric] for metric in metrics) + " |",
        "|---" * (1 + len(metrics)) + "|",
    ]
    for arm, values in found.items():
        lines.append(f"| {arm} | " + " | ".join(_shown(metric, values[metric]) for metric in metrics) + " |")
    lines += ["", "| first | second | first minus second | 95 % | first is better |", "|---|---|---|---|---|"]
    for one in contrasts:
        value, metric = one["difference"], one["metric"]
        scale, unit = (100, "points") if metric in _PERCENT else (1, "nats")
        interval = f"[{scale * value.low:+.2f}, {scale * value.high:+.2f}]"
        told = f"{scale * value.mean:+.2f} {unit} of {_TITLES[metric].split(',')[0]}"
        lines.append(f"| {one['first']} | {one['second']} | {told} | {interval} | {one['verdict']} |")
    if labels:
        lines += ["", "| labels | musicality true, % | alignment true, % |", "|---|---|---|"]
        for name, heads in labels.items():
            shown = [
                f"{100 * r:.1f} [{100 * lo:.1f}, {100 * hi:.1f}] of {n}" for r, lo, hi, n in heads.values()
            ]
            lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _shown(metric: str, value: Interval) -> str:
    if math.isnan(value.mean):
        return "–"
    if metric in _PERCENT:
        return f"{100 * value.mean:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def verdict(metric: str, difference: Interval) -> str:
    """Return whether the first of two arms is the better one, as far as one can tell."""
    low, high = (
        (-difference.high, -difference.low)
        if metric == "cross_entropy"
        else (difference.low, difference.high)
    )
    return "yes" if low > 0 else "no, the other way round" if high < 0 else "not to be told"


def draw(path: Path, title: str, found: Mapping[str, Mapping[str, Interval]]) -> None:
    """Draw a panel for each metric, in it a dot with its interval for each arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    metrics, arms = list(next(iter(found.values()))), list(found)
    columns = min(len(metrics), _COLUMNS)
    lines = math.ceil(len(metrics) / columns)
    figure, axes = pyplot.subplots(
        lines,
        columns,
        figsize=(2.3 * columns + 1.5, lines * (0.3 * len(arms) + 0.8) + 0.4),
        sharey=True,
        squeeze=False,
    )
    for axis in axes.flat[len(metrics) :]:
        axis.set_axis_off()
    for axis, metric in zip(axes.flat[: len(metrics)], metrics, strict=True):
        scale = 100 if metric in _PERCENT else 1
        for row, arm in enumerate(arms):
            value = found[arm][metric]
            axis.plot([scale * value.low, scale * value.high], [row, row], color="#1f5f8b", linewidth=2)
            axis.plot(scale * value.mean, row, "o", color="#1f5f8b")
        axis.set_title(_TITLES[metric], fontsize=9)
        axis.grid(axis="x", alpha=0.3)
        axis.tick_params(labelsize=8)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    axes[0][0].set_yticks(range(len(arms)), arms, fontsize=8)
    axes[0][0].invert_yaxis()
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
