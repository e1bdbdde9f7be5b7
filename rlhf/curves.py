"""The curves of a post-training: everything in its log that is a number of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# what is drawn, as TRL calls it, and what it is
PANELS = {
    "reward": "reward of the clips made",
    "kl": "divergence from the start, nats a code",
    "loss": "loss",
    "rewards/accuracies": "winner above loser",
    "rewards/margins": "margin",
    "logps/chosen": "log-probability of winners, nats a clip",
    "logps/rejected": "log-probability of losers, nats a clip",
    "mean_token_accuracy": "likeliest code is the right one",
    "error": "squared error of the velocity",
    "moved": "velocity's squared distance from the start",
    "winner": "winner's error, less that before",
    "margin": "loser's error over the winner's",
    "right": "share of pairs in order",
    "entropy": "entropy, nats a code",
    "grad_norm": "norm of the gradient",
}


def draw_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the curves of a log into a PNG; rows of a pool become points at the step where they were made."""
    from matplotlib.figure import Figure

    found = {
        name: [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]
        for name in PANELS
    }
    drawn = {name: points for name, points in found.items() if points}
    pools = [row for row in rows if "pool" in row]
    panels = [*(["pool"] if pools else []), *drawn]
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.7 * lines))
    axes = figure.subplots(lines, columns, squeeze=False)
    # fixed, in inches of a panel, as to measure all labels takes as long as to draw the curves
    figure.subplots_adjust(
        left=0.6 / (4.2 * columns),
        right=1 - 0.1 / (4.2 * columns),
        bottom=0.45 / (2.7 * lines),
        top=1 - 0.3 / (2.7 * lines),
        wspace=0.22,
        hspace=0.36,
    )
    for panel, name in zip(axes.flat, panels, strict=False):
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
        panel.set_title("reward of the pool" if name == "pool" else PANELS[name], fontsize=9)
        panel.set_xlabel("round" if name == "pool" else "step", fontsize=8)
        if name != "pool":
            panel.plot(*zip(*drawn[name], strict=True), linewidth=1.2)
            continue
        for which in ("best", "mean", "worst"):
            places = [row["round"] for row in pools]
            panel.plot(places, [row["pool"][which] for row in pools], marker="o", label=which)
        panel.set_xticks(places)
        panel.legend(fontsize=8)
    for panel in list(axes.flat)[len(panels) :]:
        panel.set_visible(False)
    figure.savefig(path, dpi=110)
