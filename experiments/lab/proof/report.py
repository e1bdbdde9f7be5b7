"""What `experiments.lab.prove` writes: tables with intervals, and curves of best of N."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.figures import COLOURS, drawing
from experiments.lab.gold import Gold
from music.intervals import Estimate
from music.tables import markdown_table

METRICS = ("reward", *Gold.metrics)
SHOWN = ("1", "3", "10")  # numbers of candidates in the table
_TICKS = (1, 2, 3, 5, 10, 16)


def draw_curves(summary: Mapping[str, Any], path: Path) -> None:
    """Draw reward and gold of the chosen clip against N, each in its own units, with 95 % bands."""
    numbers = [int(n) for n in summary["by_n"]]
    ticks = [n for n in _TICKS if n <= numbers[-1]]
    with drawing(path, 1, len(METRICS), (11, 3.2)) as axes:
        for axis, name in zip(axes[0], METRICS, strict=True):
            rows = [summary["by_n"][str(n)][name] for n in numbers]
            # without an interval, of few prompts, the band has no width
            low, high = zip(*(row["ci95"] or [row["mean"]] * 2 for row in rows), strict=True)
            colour = COLOURS[name == "reward"]
            axis.fill_between(numbers, low, high, alpha=0.2, color=colour, linewidth=0)
            axis.plot(numbers, [row["mean"] for row in rows], "o-", markersize=3, color=colour)
            axis.set_xscale("log")
            axis.set_xticks(ticks, ticks)
            axis.minorticks_off()
            axis.set_title(name.replace("_", " "))
            axis.set_xlabel("candidates to choose from, N")
        title = f"chosen by {summary['reward']}, {summary['n_prompts']} held-out prompts, 95 % bands"
        axes[0, 0].figure.suptitle(title)


def page_of(found: Mapping[str, Any], minutes: Mapping[str, float], ear_clips: int) -> str:
    """Return the page in Markdown.

    Parameters
    ----------
    found
        Measured parts, by name.
    minutes
        Minutes that each part took.
    ear_clips
        Number of clips of each kind in the ear check.
    """
    generator, best, ear = (found[name] for name in ("generator", "best_of_n", "ear"))
    heard = [(name, _share(row)) for name, row in generator["facts"].items()]
    means = [(kind, *(f"{_mean(row):.3f}" for row in numbers.values())) for kind, numbers in ear.items()]
    durations = ", ".join(f"{name} {each:.1f}" for name, each in minutes.items())
    return "\n".join(
        [
            *_gold(found["gold"]),
            *_reward(found["reward"]),
            f"## Generator\n\nWhat gold hears of the requested facts in one clip for each of {generator['prompts']} "
            "held-out prompts.\n",
            markdown_table(("fact", "heard"), heard),
            *_best_of_n(best),
            f"## Ear check\n\nMeans over {ear_clips} clips of each kind with 95 % bootstrap intervals.\n",
            markdown_table(("clips", *ear["real"]), means),
            f"Measured in {sum(minutes.values()):.1f} minutes: {durations}.\n",
        ]
    )


def _gold(gold: Mapping[str, Any]) -> list[str]:
    sounds = (("clean", "undamaged"), ("coded", "undamaged"), ("clean", "damaged"), ("coded", "damaged"))
    rows = [
        (
            name,
            f"{row['most_frequent']:.0%}",
            *(_share(gold[sound][state][name]) for sound, state in sounds),
        )
        for name, row in gold["clean"]["undamaged"].items()
    ]
    orders = {sound: gold[sound]["musicality"] for sound in ("clean", "coded")}
    told = ", ".join(f"{sound} {Estimate(one['srcc'], *one['ci95']):.3f}" for sound, one in orders.items())
    return [
        "## Gold judges on held-out songs\n\nShare of songs in which the true value is heard, 95 % Wilson intervals.\n",
        markdown_table(("fact", "most frequent", "clean", "coded", "clean, damaged", "coded, damaged"), rows),
        f"Spearman's correlation of `gold_musicality` with minus the true severity: {told} "
        f"({orders['clean']['clips']} songs each).\n",
    ]


def _reward(reward: Mapping[str, Any]) -> list[str]:
    rows = [
        (kind, str(row["pairs"]), _accuracy(reward["musicality"].get(kind)), _accuracy(row))
        for kind, row in reward["alignment"].items()
    ]
    return [
        "## Reward model on held-out pairs\n\nShare ordered as the truth orders them, 95 % Wilson intervals.\n",
        markdown_table(("pairs", "number", "musicality", "alignment"), rows),
    ]


def _best_of_n(best: Mapping[str, Any]) -> list[str]:
    by_n, captured = best["by_n"], best["captured"]
    shown = [n for n in SHOWN if n in by_n]
    rows = [(n, *(f"{_mean(by_n[n][name]):.3f}" for name in METRICS)) for n in shown]
    rows += [
        (f"{n} − 1, paired", *(f"{_mean(by_n[n][name]['gain']):+.3f}" for name in METRICS))
        for n in dict.fromkeys((shown[-1], str(best["n"])))
    ]
    shares = (f"{_mean(captured[name], 'share'):.3f}" if captured[name] else "–" for name in METRICS)
    rows.append(("captured of the possible gain", *shares))
    within = ", ".join(f"{name} {row['within_prompts']:.3f}" for name, row in best["within_prompts"].items())
    return [
        f"## Best of N\n\n{best['n_prompts']} held-out prompts, {best['n']} candidates each, chosen by "
        f"{best['reward']}; means of the chosen clip with 95 % bootstrap intervals over prompts.\n",
        markdown_table(("N", *METRICS), rows),
        f"Standard deviation among the candidates of a prompt: {within}.\n",
    ]


def _mean(row: Mapping[str, Any], name: str = "mean") -> Estimate:
    return Estimate(row[name], *(row["ci95"] or ()))


def _share(row: Mapping[str, Any]) -> str:
    return f"{_mean(row, 'share'):.1%}"


def _accuracy(row: Mapping[str, Any] | None) -> str:
    return f"{Estimate(row['value'], row['low'], row['high']):.1%}" if row else "–"
