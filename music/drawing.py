"""Drawings: for reports as inline SVG whose colours follow the page (light and dark), and panels for pictures.

matplotlib writes fixed colours; `INK` and the others are stand-ins, which `svg` replaces by CSS variables of the page.
"""

import html
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from music.durable import write_bytes
from music.errors import InputError

# stand-in colour -> CSS variable of the page
_COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--accent)",
    "#050505": "var(--quiet)",
}
INK, MUTED, LINE, ACCENT, QUIET = _COLOURS
SIZE = 10.5  # of the letters, points


def figure_and_axes(width: float, height: float) -> tuple[Any, Any]:
    """Return an empty figure of so many inches, a column of the page 4.2 wide, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(colors=MUTED, labelsize=SIZE, length=0)
    axes.xaxis.label.set_fontsize(SIZE)
    axes.yaxis.label.set_fontsize(SIZE)
    return figure, axes


def round_ticks(most: int) -> Any:
    """Return a locator of at most so many round numbers on an axis, ends not counted."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])


def svg(figure: Any, title: str) -> str:
    """Return a figure as one ``<svg>`` element.

    Parameters
    ----------
    figure
        Figure made by `figure_and_axes`.
    title
        Text that says what it shows, for those who cannot see it.
    """
    import matplotlib

    buffer = io.StringIO()
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,
    }  # text stays text; the same data, the same bytes
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _themed(buffer.getvalue(), title)


def _themed(document: str, title: str) -> str:
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    label = html.escape(title)
    element = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        lambda found: f'<svg viewBox="{found[1]}" role="img" aria-label="{label}">',
        element,
        count=1,
    )
    element = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", element)
    for stand_in, variable in _COLOURS.items():
        element = element.replace(stand_in, variable)
    return element


def write_figure(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure as the picture that the name of its file says, a PNG if none, atomically and durably.

    Raises
    ------
    InputError
        If there is no such kind of picture, or the file cannot be written.
    """
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    kind, buffer = path.suffix[1:].lower(), io.BytesIO()
    if kind not in figure.canvas.get_supported_filetypes():
        known = ", ".join(sorted(figure.canvas.get_supported_filetypes()))
        raise InputError(f"{path}: there is no picture of the kind {kind!r}; name it .png, or one of {known}")
    figure.savefig(buffer, format=kind, dpi=dpi)
    write_bytes(path, buffer.getvalue())


def png_panels(titles: Sequence[str], width: float, height: float) -> tuple[Any, list[Any]]:
    """Return a figure of panels, for a picture, and the axes of each.

    Parameters
    ----------
    titles
        Titles of the panels, row by row, three to a row.
    width, height
        Size of a panel, inches.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(width * columns, height * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    # fixed margins: to measure all labels takes as long as to draw
    figure.subplots_adjust(
        left=0.85 / (width * columns),
        right=1 - 0.1 / (width * columns),
        bottom=0.45 / (height * rows),
        top=1 - 0.3 / (height * rows),
        wspace=0.25,
        hspace=0.36,
    )
    axes = list(grid.flat)
    for panel, title in zip(axes, titles, strict=False):
        panel.set_title(title, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
    for panel in axes[len(titles) :]:
        panel.set_visible(False)
    return figure, axes[: len(titles)]
