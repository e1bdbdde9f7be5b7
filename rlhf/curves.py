"""The curves of a post-training: everything in its log that is a number of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from music.drawing import png_panels, write_figure

# what is drawn, as TRL calls it, and what it is
PANELS = {
    "reward": "reward of the clips made",
    "kl": "divergence from the start, nats a code",
    "loss": "loss",
    "rewards/accuracies": "winner above loser",
    "rewards/margins": "margin, beta times nats a clip",
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
    """Draw the curves of a log into a PNG; rows of a pool become points at their round."""
    found = {
        name: [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]
        for name in PANELS
    }
    drawn = {name: points for name, points in found.items() if points}
    pools = [row for row in rows if "pool" in row]
    titles = {**({"pool": "reward of the pool"} if pools else {}), **{name: PANELS[name] for name in drawn}}
    figure, axes = png_panels(list(titles.values()), 4.2, 2.7)
    for panel, name in zip(axes, titles, strict=True):
        panel.set_xlabel("round" if name == "pool" else "step", fontsize=8)
        if name != "pool":
            panel.plot(*zip(*drawn[name], strict=True), linewidth=1.2)
            continue
        places = [row["round"] for row in pools]
        for which in ("best", "mean", "worst"):
            panel.plot(places, [row["pool"][which] for row in pools], marker="o", label=which)
        panel.set_xticks(places)
        panel.legend(fontsize=8)
    write_figure(figure, path, dpi=110)
