"""Draw what trainings wrote into ``log.jsonl``: one run, or several in one picture.

    python -m reward.train_curves runs/one runs/two --output curves.png

Each head has a row of panels: the loss of steps (smoothed) and of validations, accuracy with its 95 % Wilson interval,
cross-entropy, and calibration error. `reward.train` draws its own run into ``curves.png`` when it ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from music.command import run
from music.drawing import write_figure
from music.errors import InputError
from music.jsonl import read_jsonl
from music.paths import is_file
from reward.judgements import HEADS

SMOOTHING = 0.05  # share of a step in the running mean
_PANELS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "cross_entropy": "cross-entropy, nats",
    "ece": "calibration error",
}
# shares of the figure; fixed, as measuring all labels takes as long as drawing the curves
_MARGINS = {"left": 0.04, "right": 0.985, "top": 0.95, "bottom": 0.09, "wspace": 0.2, "hspace": 0.36}


@dataclass(frozen=True)
class DrawCurves:
    """Draw the curves of trainings of reward models.

    Parameters
    ----------
    runs
        Output folders of `reward.train`.
    output
        PNG file to write; by default curves.png in the folder of the first run.
    """

    POSITIONALS: ClassVar = ("runs",)

    runs: list[Path]
    output: Path | None = None


def main(options: DrawCurves) -> None:
    """Draw the curves, and print the name of the file."""
    output = options.output or options.runs[0] / "curves.png"
    draw_curves(options.runs, output)
    print(output)


def draw_curves(runs: Sequence[Path], path: Path) -> None:
    """Draw runs, each in its colour, into a PNG.

    Raises
    ------
    InputError
        If a run has no log, or the picture cannot be written.
    """
    from matplotlib.figure import Figure

    logs = [(str(folder), _rows(folder)) for folder in runs]
    figure = Figure(figsize=(13, 5.4))
    axes = figure.subplots(len(HEADS), len(_PANELS), gridspec_kw=_MARGINS)
    for row, head in enumerate(HEADS):
        for column, (name, title) in enumerate(_PANELS.items()):
            panel = axes[row, column]
            panel.set_title(f"{head}: {title}", fontsize=9)
            panel.set_xlabel("step", fontsize=8)
            panel.tick_params(labelsize=8)
            panel.grid(alpha=0.25)
            for colour, (run_name, rows) in enumerate(logs):
                _draw(panel, rows, head, name, f"C{colour}", run_name)
    if len(logs) > 1:
        axes[0, 0].legend(fontsize=8)
    write_figure(figure, path, dpi=110)


def _draw(
    panel: Any, rows: Sequence[Mapping[str, Any]], head: str, name: str, colour: str, label: str
) -> None:
    if name == "loss":
        steps = [(row["step"], row[head]) for row in rows if "validation" not in row]
        panel.plot(*zip(*_smoothed(steps), strict=True), color=colour, alpha=0.4, linewidth=1)
    found = [(row["step"], row["validation"][head]) for row in rows if "validation" in row]
    points = [(step, one[name]) for step, one in found if one.get(name) is not None]
    if points:
        panel.plot(*zip(*points, strict=True), "o-", color=colour, markersize=3, label=label)
    if name == "accuracy" and points:
        bands = [(step, one["low"], one["high"]) for step, one in found if one[name] is not None]
        panel.fill_between(*zip(*bands, strict=True), color=colour, alpha=0.15, linewidth=0)


def _smoothed(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    found, mean = [], points[0][1] if points else 0.0
    for step, value in points:
        mean += SMOOTHING * (value - mean)
        found.append((step, mean))
    return found or [(0, np.nan)]


def _rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / "log.jsonl"
    if not is_file(path):
        raise InputError(f"{path} does not exist: {folder} is no output of reward.train")
    rows = read_jsonl(path)
    for line, row in rows:
        if "step" not in row or not ("validation" in row or set(HEADS) <= row.keys()):
            raise InputError(f"{path} line {line} is no row of the log of a training")
    return [row for _, row in rows]


if __name__ == "__main__":
    run(main, DrawCurves)
