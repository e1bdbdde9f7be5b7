"""``report.html`` of a loop: what each round has changed, side by side."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from music.drawing import ACCENT, INK, MUTED, figure_and_axes, round_ticks, svg
from music.intervals import wilson_interval
from music.web_page import write_page
from reward import RewardWeights
from reward.judgements import HEADS
from rlhf.asking.measuring import REWARD
from rlhf.asking.options import RewardLoop

Entry = Mapping[str, Any] | None  # "mean" and "ci95"
Line = tuple[str, list[Entry]]  # what is measured, and its value for each reward
_ANSWERS = "Agreement with answers about held-out prompts of all rounds so far"
_SINCE = "Difference of that from the first reward"
_MOVED = "Difference of that from the first generator"


def write_report(path: Path, rows: Sequence[Mapping[str, Any]], options: RewardLoop) -> None:
    """Write the page.

    Parameters
    ----------
    path
        Path of the page.
    rows
        Rows of ``log.jsonl``.
    options
        Options of the run.
    """
    sections = [(title, lines) for title, lines in sections_of(rows) if lines]
    names = ["start" if row["round"] == "start" else f"round {row['round']}" for row in rows]
    panels = [
        (title, name, _drawn(names, f"{title}: {name}", entries))
        for title, lines in sections
        for name, entries in lines
        if title not in (_ANSWERS, _SINCE, _MOVED) and sum(entry is not None for entry in entries) > 1
    ]
    answers = sum(row.get("answers", 0) for row in rows)
    asked = " and ".join(dict.fromkeys(row["acquisition"] for row in rows if "acquisition" in row))
    context: dict[str, Any] = {
        "answers": answers,
        "rounds": len(rows) - 1,
        "generator": options.generator,
        "asked": asked or options.acquisition,
        "names": names,
        "sections": [
            (title, [(name, [_cell(entry) for entry in entries]) for name, entries in lines])
            for title, lines in sections
        ],
        "panels": panels,
        "curves": _curves(rows),
        "facts": {
            "Generator": options.generator,
            "Reward": f"{options.weights or RewardWeights().name} by {options.reward}",
            "Raters": options.raters,
            "Judges": options.judges or "none",
            "Prompts": f"{options.prompts}, {options.n} clips of {options.seconds:g} s each",
            "Held-out prompts": f"{options.held_out}, {options.held_out_n} clips each"
            if options.held_out
            else "none",
            "Replay": str(options.replay or "none"),
            "Seed": str(options.seed),
            "Command": shlex.join(sys.argv),
        },
    }
    write_page(path, "rlhf.asking", context)


def sections_of(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Line]]]:
    """Return what is shown: titles, and beneath each what is measured with its value for each reward."""
    answered = [
        (f"{head}, {moment} the round", [_accuracy(row.get(moment), head) for row in rows])
        for head in HEADS
        for moment in ("before", "after")
    ]
    replayed = [(head, [_accuracy(row.get("replay"), head) for row in rows]) for head in HEADS]
    held = [row.get("held_out", {}) for row in rows]
    within = [
        (f"{mine} with {judge}", [_within(one, mine, judge) for one in held])
        for mine, judged in held[0].get("within_prompt", {}).items()
        for judge in judged
    ]
    best = list(held[0].get("by_n", {}))[-1:]
    chosen = [
        (judge, [one.get("by_n", {}).get(n, {}).get(judge) for one in held])
        for n in best
        for judge in held[0]["by_n"][n]
        if judge != REWARD
    ]
    since = [
        (judge, [one.get("since_first", {}).get(judge) for one in held])
        for judge, _ in chosen
        if len(rows) > 1
    ]
    reached = [
        (judge, [_share(one.get("reached", {}).get(judge)) for one in held])
        for judge in held[0].get("reached", {})
    ]
    return [
        (_ANSWERS, _known(answered)),
        ("Agreement with older preferences", _known(replayed)),
        ("Order within a prompt, beside judges (Spearman)", within),
        (f"What judges say of the best of {best[0] if best else 'n'}", chosen),
        ("Share of what choosing by a second judge of the same thing gains", _known(reached)),
        (_SINCE, since),
        *_of_generators(rows),
    ]


def _of_generators(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Line]]]:
    """Return what is shown of the generators that learned from the rewards, the first one among them."""
    made = [rows[0].get("held_out", {}), *(row.get("policy", {}) for row in rows[1:])]
    if not any(made[1:]):
        return []
    judges = [judge for judge in made[0]["by_n"]["1"] if judge != REWARD]
    return [
        (
            "What judges say of the generator's clips",
            [(judge, [one.get("by_n", {}).get("1", {}).get(judge) for one in made]) for judge in judges],
        ),
        (
            _MOVED,
            [
                (judge, [None, *(one.get("since_first", {}).get(judge) for one in made[1:])])
                for judge in judges
            ],
        ),
        (
            "Order within a prompt, of the generator's clips by the reward that it learned from",
            [(judge, [_within(one, REWARD, judge) for one in made]) for judge in judges],
        ),
    ]


def _known(lines: Iterable[Line]) -> list[Line]:
    return [(name, entries) for name, entries in lines if any(entries)]


def _accuracy(found: Mapping[str, Any] | None, head: str) -> Entry:
    if not found or found[head]["accuracy"] is None:
        return None
    one = found[head]
    low, high = wilson_interval(one["accuracy"] * one["pairs"], one["pairs"])
    return {"mean": one["accuracy"], "ci95": [low, high]}


def _within(found: Mapping[str, Any], mine: str, judge: str) -> Entry:
    entry = found.get("within_prompt", {}).get(mine, {}).get(judge)
    return None if entry is None or entry["mean"] is None else entry


def _share(found: Mapping[str, Any] | None) -> Entry:
    return None if found is None else {"mean": found["share"], "ci95": found["ci95"]}


def _cell(entry: Entry) -> str:
    if entry is None:
        return "–"
    value = f"{entry['mean']:.3f}"
    if entry["ci95"]:
        value += " [{:.3f}, {:.3f}]".format(*entry["ci95"])
    return value.replace("-", "−")


def _curves(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return for each judge's metric a drawing of the reward's best of n, of the first reward and the last."""
    first, last = (row.get("held_out", {}).get("by_n", {}) for row in (rows[0], rows[-1]))
    if len(rows) < 2 or len(first) < 2:
        return []
    return [(judge, _curve(judge, first, last)) for judge in first["1"] if judge != REWARD]


def _curve(judge: str, first: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    figure, axes = figure_and_axes(4.2, 2.3)
    numbers = [int(n) for n in first]
    for by_n, colour in ((first, MUTED), (last, ACCENT)):
        found = [by_n[str(n)][judge] for n in numbers]
        axes.plot(numbers, [one["mean"] for one in found], color=colour, linewidth=2.2)
        if all(one["ci95"] for one in found):
            low, high = zip(*(one["ci95"] for one in found), strict=True)
            axes.fill_between(numbers, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.set_xlabel("candidates to choose from, n", color=MUTED)
    axes.xaxis.set_major_locator(round_ticks(6))
    axes.yaxis.set_major_locator(round_ticks(5))
    return svg(figure, f"{judge} of the reward's best of n, of the first reward and the last")


def _drawn(names: Sequence[str], title: str, entries: Sequence[Entry]) -> str:
    """Draw what changes from reward to reward, with intervals."""
    known = [(place, entry) for place, entry in enumerate(entries) if entry is not None]
    figure, axes = figure_and_axes(4.2, 2.3)
    axes.plot(
        [place for place, _ in known],
        [entry["mean"] for _, entry in known],
        color=ACCENT,
        linewidth=2.2,
        marker="o",
        markersize=6,
    )
    for place, entry in known:
        if entry["ci95"]:
            axes.plot([place, place], entry["ci95"], color=INK, linewidth=1.2)
    axes.axhline(known[0][1]["mean"], color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
    axes.set_xticks(range(len(names)), labels=[name.removeprefix("round ") for name in names])
    axes.set_xlim(-0.3, len(names) - 0.7)
    axes.set_xlabel("round", color=MUTED)
    axes.yaxis.set_major_locator(round_ticks(5))
    return svg(figure, title)
