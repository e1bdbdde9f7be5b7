"""Tables and figures of the ablations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.figures import draw_dots, drawing
from music.durable import write_text
from music.intervals import Estimate
from music.tables import csv_table, markdown_table

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


def interval_of(estimate: Estimate) -> dict[str, float]:
    """Return what files keep of an estimate."""
    return {"mean": estimate.value, "low": estimate.low, "high": estimate.high}


def write_csv(path: Path, found: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Write a row for each arm and metric."""
    lines = [
        {"arm": arm, "metric": metric, **interval_of(value)}
        for arm, metrics in found.items()
        for metric, value in metrics.items()
    ]
    write_text(path, csv_table(lines, ["arm", "metric", "mean", "low", "high"]))


def markdown(
    title: str,
    paper: str,
    found: Mapping[str, Mapping[str, Estimate]],
    contrasts: Sequence[Mapping[str, Any]],
    labels: Mapping[str, Mapping[str, Sequence[float]]],
    note: str,
) -> str:
    """Return an ablation for people."""
    arms = [
        [arm, *(_shown(metric, one) for metric, one in metrics.items())] for arm, metrics in found.items()
    ]
    metrics = [_TITLES[metric] for metric in next(iter(found.values()))]
    differences = []
    for one in contrasts:
        value, unit = (
            _scaled(one["metric"], one["difference"]),
            "points" if one["metric"] in _PERCENT else "nats",
        )
        told = f"{value.value:+.2f} {unit} of {_TITLES[one['metric']].split(',')[0]}"
        interval = f"[{value.low:+.2f}, {value.high:+.2f}]"
        differences.append([one["first"], one["second"], told, interval, one["verdict"]])
    parts = [
        f"## {title}\n",
        f"The paper: {paper}\n",
        f"{note}\n",
        markdown_table(["", *metrics], arms),
        markdown_table(["first", "second", "first minus second", "95 %", "first is better"], differences),
    ]
    if labels:
        shares = [
            [
                name,
                *(f"{Estimate(100 * r, 100 * lo, 100 * hi):.1f} of {n}" for r, lo, hi, n in heads.values()),
            ]
            for name, heads in labels.items()
        ]
        parts.append(markdown_table(["labels", "musicality true, %", "alignment true, %"], shares))
    return "\n".join(parts)


def _scaled(metric: str, one: Estimate) -> Estimate:
    scale = 100 if metric in _PERCENT else 1
    return Estimate(scale * one.value, scale * one.low, scale * one.high)


def _shown(metric: str, one: Estimate) -> str:
    return format(_scaled(metric, one), ".1f" if metric in _PERCENT else ".3f")


def verdict(metric: str, difference: Estimate) -> str:
    """Return whether the first of two arms is the better one, as far as one can tell."""
    if not difference.differs:
        return "not to be told"
    better = (difference.low > 0) != (metric == "cross_entropy")
    return "yes" if better else "no, the other way round"


def draw(path: Path, title: str, found: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Draw a panel for each metric, in it a dot with its interval for each arm."""
    metrics, arms = list(next(iter(found.values()))), list(found)
    columns = min(len(metrics), _COLUMNS)
    lines = math.ceil(len(metrics) / columns)
    size = (2.3 * columns + 1.5, lines * (0.3 * len(arms) + 0.8) + 0.4)
    with drawing(path, lines, columns, size, sharey=True) as axes:
        for axis in axes.flat[len(metrics) :]:
            axis.set_axis_off()
        for axis, metric in zip(axes.flat[: len(metrics)], metrics, strict=True):
            draw_dots(axis, [asdict(_scaled(metric, found[arm][metric])) for arm in arms], arms)
            axis.set_title(_TITLES[metric], fontsize=9)
        axes[0, 0].figure.suptitle(title, fontsize=11, x=0.01, ha="left")
