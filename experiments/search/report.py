"""Tables and drawing of a comparison of methods of search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan
from typing import Any

import numpy as np

from experiments.figures import COLOURS, drawing, write_report
from experiments.search.compared import Measured, Yardstick, over_prompts
from experiments.search.options import CHOOSING, CompareSearches
from experiments.search.runs import Found
from experiments.search.tried import told
from music.intervals import Estimate, telling_digits
from music.tables import markdown_table
from rlhf.assessment.comparison import REWARD

_DIFFERENCES = ("gain", "to_same", "to_target")
_COLUMNS = (
    "method",
    "options",
    "budget",
    "seeds",
    "clips",
    "flop",
    "seconds",
    "metric",
    "value",
    "low",
    "high",
)
_TRIED = (
    "method",
    "options",
    "clips",
    "reward",
    "low",
    "high",
    "behind",
    "behind_low",
    "behind_high",
    "chosen",
)
_GREY = "#6d6875"
_MARKERS = "osD^vPX"
_APART = 1.045  # from one method to the next, as a factor of compute


@dataclass(frozen=True)
class Attempt:
    """Options of a method that were tried.

    Attributes
    ----------
    method, options
        The method, and its options.
    clips
        Compute for each prompt, in finished and scored clips.
    reward
        Mean reward of what was chosen.
    behind
        Its difference from that of the chosen options, paired by prompt.
    chosen
        Whether it is the highest.
    """

    method: str
    options: tuple[tuple[str, object], ...]
    clips: float
    reward: Estimate
    behind: Estimate
    chosen: bool


@dataclass(frozen=True, eq=False)
class Row:
    """A method at one budget.

    Attributes
    ----------
    method, options, budget
        The method, its options, and the compute that it may spend for each prompt, in finished and scored clips.
    found
        What the run of each seed has found.
    measured
        Its metrics over all of them.
    """

    method: str
    options: tuple[tuple[str, object], ...]
    budget: float
    found: Sequence[Found]
    measured: Sequence[Measured]

    @property
    def clips(self) -> float:
        """Compute that was spent for each prompt, in finished and scored clips."""
        return float(np.mean([one.clips for one in self.found]))

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"{self.method}, {self.budget:g} clips"


def write_comparison(
    options: CompareSearches,
    yardstick: Yardstick,
    pools: Sequence[Found],
    rows: Sequence[Row],
    tried: Sequence[Attempt],
    left_out: Sequence[str],
    judged: Sequence[str],
) -> None:
    """Write ``results.csv``, ``chosen.csv``, ``table.md``, ``figure.png`` and ``run.json``.

    Parameters
    ----------
    options
        Options of the command.
    yardstick
        Best of n.
    pools
        The runs that it comes from.
    rows
        The methods at each budget.
    tried
        All options that were tried.
    left_out
        What could not be run at its budget.
    judged
        Metrics of the judges, which tables and figure show beside the reward; those that it is made of are in
        ``results.csv``.
    """
    curves = _curves(yardstick)
    named = [f"{name}{end}" for name in _DIFFERENCES for end in ("", "_low", "_high")]
    lines = [*_lines_of_best(curves, pools), *(line for row in rows for line in _lines_of(row))]
    shown = {name: curves[name] for name in (REWARD, *judged)}
    _draw(options, shown, rows)
    shown |= {name: curves[name] for name in yardstick.diversity}
    page = _page(options, yardstick, shown, pools, rows, tried, left_out)
    tables = {
        "results": (lines, [*_COLUMNS, *named]),
        "chosen": ([_line_of_attempt(one) for one in tried], _TRIED),
    }
    write_report(options.folder, options, tables, page)


Curves = Mapping[str, Sequence[tuple[Estimate, Estimate]]]  # metric -> mean and gain of best of n for each n


def _curves(yardstick: Yardstick) -> Curves:
    found: dict[str, list[tuple[Estimate, Estimate]]] = {}
    for name, curve in yardstick.metrics.items():
        values = np.moveaxis(curve, -1, 0)  # [N, S, P]
        found[name] = [(over_prompts(one), over_prompts(one - values[0])) for one in values]
    for name, curve in yardstick.diversity.items():
        means = curve.mean(0)
        found[name] = [(Estimate(float(one)), Estimate(float(one - means[0]))) for one in means]
    return found


def _seconds(found: Sequence[Found]) -> float | None:
    """Return the mean time for each prompt, s; None where one is not known."""
    known = [one.seconds for one in found if one.seconds is not None]
    return float(np.mean(known)) if len(known) == len(found) else None


def _flop(found: Sequence[Found]) -> float | None:
    known = [one.flop for one in found if one.flop is not None]
    return float(np.mean(known)) if len(known) == len(found) else None


def _lines_of_best(curves: Curves, pools: Sequence[Found]) -> list[dict[str, Any]]:
    flop, most = _flop(pools), pools[0].clips
    return [
        {"method": "best of n", "budget": n, "seeds": len(pools), "clips": n, "metric": name}
        | {"flop": None if flop is None else flop / most * n}
        | value.columns()
        | gain.columns("gain", "gain_low", "gain_high")
        for name, points in curves.items()
        for n, (value, gain) in enumerate(points, start=1)
    ]


def _lines_of(row: Row) -> list[dict[str, Any]]:
    shared = {
        "method": row.method,
        "options": told(dict(row.options)),
        "budget": row.budget,
        "seeds": len(row.found),
        "clips": row.clips,
        "flop": _flop(row.found),
        "seconds": _seconds(row.found),
    }
    lines = []
    for one in row.measured:
        line = shared | {"metric": one.metric} | one.value.columns()
        for name in _DIFFERENCES:
            line |= getattr(one, name).columns(name, f"{name}_low", f"{name}_high")
        lines.append(line)
    return lines


def _line_of_attempt(one: Attempt) -> dict[str, Any]:
    return (
        {"method": one.method, "options": told(dict(one.options)), "clips": one.clips}
        | {"chosen": "yes" if one.chosen else "no"}
        | one.reward.columns("reward")
        | one.behind.columns("behind", "behind_low", "behind_high")
    )


def _page(
    options: CompareSearches,
    yardstick: Yardstick,
    curves: Curves,
    pools: Sequence[Found],
    rows: Sequence[Row],
    tried: Sequence[Attempt],
    left_out: Sequence[str],
) -> str:
    config = options.best_of_n(0, options.folder)
    prompts, seeds = pools[0].metrics[REWARD].shape[0], f"{len(pools)} seed{'s' * (len(pools) > 1)}"
    names, target = list(curves), options.target
    parts = [
        f"## Search at equal compute: {config.generator}\n",
        f"{prompts} prompts of {options.held_out}, {seeds}, clips of {options.seconds:g} s, chosen by "
        f"{options.reward}. Compute is counted in finished and scored clips a prompt. Under s stands the measured time "
        "a prompt; there is none where a run took up clips that were there. Differences are paired by prompt and seed, "
        "with 95 % intervals over prompts and seeds; a star: the interval does not hold 0. Of diversity (Vendi score) "
        "there is none.\n",
        "### Best of n\n",
        _best_table(options, curves, pools),
        "### Each method beside best of n at the same compute\n",
        _differences(rows, names, "to_same", lambda row: f"{row.clips:.2f}", "clips"),
        f"### Each method beside best of {target}\n",
        _differences(rows, names, "to_target", lambda row: f"{row.clips / target:.0%}", "compute"),
        *_statements(rows, yardstick, target),
        "",
    ]
    if left_out:
        parts += ["Left out:\n", *(f"- {one}" for one in left_out), ""]
    if tried:
        given, limit = options.prompts(CHOOSING)
        first = "" if limit is None else f"the first {limit} of "
        parts += [
            f"### Options, chosen by the reward at {options.choosing_budget:g} clips on {first}{given}\n",
            _tried_table(tried),
        ]
    return "\n".join(parts)


def _best_table(options: CompareSearches, curves: Curves, pools: Sequence[Found]) -> str:
    digits = {name: telling_digits(value for value, _ in points) for name, points in curves.items()}
    most, seconds = int(pools[0].clips), _seconds(pools)
    numbers = sorted({1, options.target, most, *(ceil(one) for one in options.numbers)})
    lines = [
        [str(n), "" if seconds is None else f"{seconds * n / most:.2f}"]
        + [f"{points[n - 1][0]:.{digits[name]}f}" for name, points in curves.items()]
        for n in numbers
    ]
    return markdown_table(["n", "s", *curves], lines)


def _differences(rows: Sequence[Row], names: Sequence[str], which: str, compute: Any, title: str) -> str:
    told_of = {(row.title, one.metric): getattr(one, which) for row in rows for one in row.measured}
    digits = {
        name: telling_digits(one for (_, metric), one in told_of.items() if metric == name) for name in names
    }
    lines = []
    for row in rows:
        seconds = _seconds(row.found)
        cells = [_starred(told_of[row.title, name], digits[name]) for name in names]
        lines.append([row.title, compute(row), "" if seconds is None else f"{seconds:.2f}", *cells])
    return markdown_table(["", title, "s", *names], lines)


def _statements(rows: Sequence[Row], yardstick: Yardstick, target: int) -> list[str]:
    """Say with how much compute each method reaches the reward of best of `target`."""
    told_of = []
    for method in dict.fromkeys(row.method for row in rows):
        own = {row.budget: row for row in rows if row.method == method}
        for row in own.values():
            reward = next(one for one in row.measured if one.metric == REWARD)
            needs = yardstick.needs(reward.value.value)
            worth = f"what best of {needs:.1f} brings"
            if needs <= 1:
                worth = "no more than a single clip brings"
            elif isnan(needs):
                worth = f"more than best of {yardstick.most} brings"
            line = f"- {method} with {row.clips:.2f} clips: {worth}"
            if reward.to_target.high >= 0:  # never of NaN
                line += f"; reaches best of {target}'s reward at {row.clips / target:.0%} of its compute"
            told_of.append(f"{line}.")
    return told_of


def _tried_table(tried: Sequence[Attempt]) -> str:
    digits = telling_digits(one.behind for one in tried if not one.chosen)
    lines = [
        [
            one.method,
            told(dict(one.options)),
            f"{one.clips:.2f}",
            f"{one.reward.value:.{digits}f}",
            "chosen" if one.chosen else _starred(one.behind, digits),
        ]
        for one in tried
    ]
    return markdown_table(["method", "options", "clips", "reward", "beside the chosen"], lines)


def _starred(one: Estimate, digits: int) -> str:
    return f"{one:+.{digits}f}{'*' * one.differs}"


def _draw(options: CompareSearches, curves: Curves, rows: Sequence[Row]) -> None:
    """Draw the gain of each metric over a single clip against compute: best of n as a curve, the methods as points."""
    methods = list(dict.fromkeys(row.method for row in rows))
    columns = min(2, len(curves))
    lines = ceil(len(curves) / columns)
    middle = (len(methods) - 1) / 2
    ticks = sorted({1, 2, *(round(budget) for budget in options.numbers)})
    with drawing(options.folder / "figure.png", lines, columns, (4.8 * columns, 3.3 * lines)) as axes:
        for axis, (name, points) in zip(axes.flat, curves.items(), strict=False):
            numbers, gains = range(1, len(points) + 1), [gain for _, gain in points]
            band = [one.low for one in gains], [one.high for one in gains]
            axis.fill_between(numbers, *band, color=_GREY, alpha=0.2, linewidth=0)
            axis.plot(numbers, [one.value for one in gains], color=_GREY, linewidth=1.6, label="best of n")
            for place, method in enumerate(methods):
                own = [(row, one) for row in rows if row.method == method for one in row.measured]
                found = [(row.clips, one.gain) for row, one in own if one.metric == name]
                # beside each other, so that intervals do not hide each other
                at = [clips * _APART ** (place - middle) for clips, _ in found]
                style = {"color": COLOURS[place % len(COLOURS)], "markersize": 4.5}
                axis.plot(
                    at,
                    [one.value for _, one in found],
                    _MARKERS[place % len(_MARKERS)],
                    label=method,
                    **style,
                )
                axis.vlines(
                    at,
                    [one.low for _, one in found],
                    [one.high for _, one in found],
                    color=style["color"],
                    linewidth=1.2,
                )
            axis.set_xscale("log")
            axis.set_xticks(ticks, [str(tick) for tick in ticks])
            axis.minorticks_off()
            axis.set_title(f"{name}: gain over a single clip", fontsize=9)
            axis.set_xlabel("compute for each prompt, in finished and scored clips", fontsize=8)
        for axis in axes.flat[len(curves) :]:
            axis.set_visible(False)
        axes[0, 0].legend(fontsize=7, loc="upper left")
