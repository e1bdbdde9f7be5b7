"""Dots with their intervals, drawn by the page itself: rows of text and a track, which fit any width and any name.

A panel is one question (a task of a data set) by one kind of group. Panels of a section that show the same metric share
their axis. Places on an axis are percentages of its length.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from music.drawing import round_ticks
from reward.benchmark.extra import start_of
from reward.benchmark.metrics import Line
from reward.benchmark.wording import SHARES, group_of, interval, number, question_of

#: what a dot shows: a metric of pairs, one of ratings
METRICS = ("ACC", "SRCC")
_TICKS = 3


@dataclass(frozen=True)
class Dot:
    """A row of a panel.

    Attributes
    ----------
    name
        Name of the group.
    n
        Number of its rows.
    value, interval
        Texts; the interval is empty if there is none.
    at
        Place of the value; None if it is not defined.
    ends
        Places of the interval's ends, if there is one.
    """

    name: str
    n: int
    value: str
    interval: str
    at: float | None
    ends: tuple[float, float] | None


@dataclass(frozen=True)
class Panel:
    """Dots on one axis.

    Attributes
    ----------
    title
        The question.
    metric
        Metric with its unit.
    dots
        Dots from top to bottom.
    ticks
        Places and texts.
    line
        Place of the value that all are compared with; None if it is not defined.
    """

    title: str
    metric: str
    dots: Sequence[Dot]
    ticks: Sequence[tuple[float, str]]
    line: float | None


@dataclass(frozen=True)
class Section:
    """Panels by one kind of group, with what the page says about it."""

    title: str
    note: str
    panels: Sequence[Panel]


class Axis:
    """From the lowest to the highest of some values, rounded outwards."""

    def __init__(self, values: Iterable[float]) -> None:
        known = list(values)
        low, high = min(known), max(known)
        widened = (low - 0.05, high + 0.05) if low == high else (low, high)
        self.ticks: list[float] = [float(tick) for tick in round_ticks(_TICKS).tick_values(*widened)]

    def at(self, value: float) -> float:
        """Return the place of a value."""
        low, high = self.ticks[0], self.ticks[-1]
        return round(100 * (value - low) / (high - low), 3)

    def labels(self, metric: str) -> list[tuple[float, str]]:
        """Return places and texts of the ticks."""
        scale = 100 if metric in SHARES else 1
        texts = [f"{scale * tick:.6g}".replace("-", "−") for tick in self.ticks]
        return [(self.at(tick), text) for tick, text in zip(self.ticks, texts, strict=True)]


def _length(line: Line) -> float:
    return start_of(str(line["group_value"]))


def _best_first(line: Line) -> float:
    value = line["value"]
    return -value if isinstance(value, int | float) else 2.0


#: key of groups -> title, note, and what orders them if that is not their name
_KINDS: Mapping[str, tuple[str, str, Callable[[Line], float] | None]] = {
    "confidence": (
        "How sure people were",
        "How sure the listener was of the choice, from 1 to 5: a scorer should be right most often where people are.",
        None,
    ),
    "modality": (
        "What the prompt holds",
        "Text alone, or with lyrics, with a reference clip, or both.",
        None,
    ),
    "ref_subset": ("With and without a reference", "", None),
    "modality_type": ("Vocal and instrumental", "Vocal are the pairs whose prompt has lyrics.", None),
    "month": ("Month", "When the battle took place.", None),
    "predicted from": (
        "Battles predicted from both scores",
        "From the mean of musicality and alignment, as in the paper's first version; elsewhere by the row's label.",
        None,
    ),
    "duration": (
        "Length of the audio",
        "For a pair, the mean of both clips.",
        _length,
    ),
    "generator": ("Generator", "A pair counts for both of its generators. The best come first.", _best_first),
}


def sections_of(extra: Sequence[Line]) -> list[Section]:
    """Return the panels of all groups of `metrics_extra.csv` that tell more than the whole."""
    shown = [line for line in extra if line["metric"] in METRICS]
    whole = {question_of(line): line for line in shown if line["group_key"] == "all"}
    sections = []
    for key, (title, note, order) in _KINDS.items():
        groups: dict[str, list[Line]] = {}
        for line in shown:
            if line["group_key"] == key:
                groups.setdefault(question_of(line), []).append(line)
        groups = {
            question: sorted(lines, key=order) if order else lines
            for question, lines in groups.items()
            if len(lines) > 1 or lines[0]["value"] != whole[question]["value"]
        }
        panels = panels_of(
            {question: (lines, whole[question]["value"]) for question, lines in groups.items()}
        )
        if panels:
            sections.append(Section(title, note, panels))
    return sections


def panels_of(
    questions: Mapping[str, tuple[Sequence[Line], object]],
    column: str = "value",
    name_of: Callable[[Line], str] = group_of,
    signed: bool = False,
) -> list[Panel]:
    """Return a panel for each question.

    Parameters
    ----------
    questions
        Title -> lines of one metric, each with `n`, the value and perhaps `low` and `high`; and the value that they
        are compared with.
    column
        Name of the value.
    name_of
        Function that names a line.
    signed
        Whether values are differences.
    """
    axes: dict[str, Axis] = {}
    for metric in METRICS:
        values = [
            value
            for lines, against in questions.values()
            for line in lines
            for value in (line[column], line.get("low"), line.get("high"), against)
            if line["metric"] == metric and isinstance(value, int | float)
        ]
        if values:
            axes[metric] = Axis(values)
    panels = []
    for title, (lines, against) in questions.items():
        metric = str(lines[0]["metric"])
        if metric in axes:
            axis, unit = axes[metric], " in points" if signed else ", %"
            dots = [_dot(line, axis, column, name_of(line), signed) for line in lines]
            shown = metric + unit * (metric in SHARES)
            panels.append(Panel(title, shown, dots, axis.labels(metric), _place(axis, against)))
    return panels


def _dot(line: Line, axis: Axis, column: str, name: str, signed: bool) -> Dot:
    metric, low, high = str(line["metric"]), _place(axis, line.get("low")), _place(axis, line.get("high"))
    return Dot(
        name,
        int(str(line["n"])),
        number(metric, line[column], signed),
        interval(metric, line, signed),
        _place(axis, line[column]),
        None if low is None or high is None else (low, high),
    )


def _place(axis: Axis, value: object) -> float | None:
    return axis.at(value) if isinstance(value, int | float) else None
