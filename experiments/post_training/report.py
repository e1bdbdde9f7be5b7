"""What the comparison found: a table, a figure, and which algorithms gain by gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

from experiments.figures import draw_dots, drawing
from experiments.post_training.comparisons import Comparison
from music.durable import write_text
from music.files import read_csv
from music.intervals import Estimate
from music.jsonl import read_jsonl
from music.tables import csv_table, markdown_table
from rlhf.assessment.comparison import BASE, DIVERGENCE, DIVERSITY, JUDGE, PROXY, REWARD
from rlhf.options import LOG

TITLES = {"expert_iteration": "expert iteration", "dpo": "DPO", "grpo": "GRPO", "nft": "DiffusionNFT"}
_COLOURS = {PROXY: "#d6431f", JUDGE: "#1f5f8b"}


@dataclass(frozen=True)
class Number:
    """A metric of a model.

    Attributes
    ----------
    kind
        Kind of the metric, as in `rlhf.assessment.comparison`.
    mean
        Mean over all clips.
    difference
        Mean difference from the base, paired, with its 95 % interval over prompts; NaN where there is none.
    """

    kind: str
    mean: float
    difference: Estimate


AssessedModels = Mapping[tuple[str, int], Mapping[str, Number]]  # (model, best of n) -> metric -> number


def read_findings(folder: Path, best_of: int) -> AssessedModels:
    """Return the numbers of single clips and of the best of `best_of`, from an assessment's ``metrics.csv``."""
    found: dict[tuple[str, int], dict[str, Number]] = {}
    for _, row in read_csv(folder / "metrics.csv")[1]:
        mean, difference, low, high = (
            float(row[name] or nan) for name in ("mean", "difference", "difference_low", "difference_high")
        )
        metrics = found.setdefault((str(row["model"]), int(row["best_of"] or 1)), {})
        metrics[str(row["metric"])] = Number(str(row["kind"]), mean, Estimate(difference, low, high))
    return {key: metrics for key, metrics in found.items() if key[1] in (1, best_of)}


def trend_of(training: Path) -> Estimate | None:
    """Return how far the reward rose while clips were made and learned from; None where none is logged.

    It is the rise of the least-squares line through the rewards, from the first step to the last, with its 95 %
    interval (Student's t); its `rows` are the steps.
    """
    from scipy import stats

    rows = [row for _, row in read_jsonl(training / LOG) if REWARD in row]
    if len(rows) < 3:
        return None
    line = stats.linregress([row["step"] for row in rows], [row[REWARD] for row in rows])
    span = rows[-1]["step"] - rows[0]["step"]
    rise, reach = line.slope * span, float(stats.t.ppf(0.975, len(rows) - 2)) * line.stderr * span
    return Estimate(rise, rise - reach, rise + reach, len(rows))


def verdict(metrics: Mapping[str, Number]) -> str:
    """Say what judges' metrics of single clips were raised and lowered, as far as intervals tell."""
    judged = {name: one.difference for name, one in metrics.items() if one.kind == JUDGE}
    raised = [name for name, one in judged.items() if one.low > 0]
    lowered = [name for name, one in judged.items() if one.high < 0]
    if raised and not lowered:
        return f"better: raises {', '.join(raised)} and lowers none"
    if lowered:
        return f"worse by {', '.join(lowered)}" + (f", better by {', '.join(raised)}" if raised else "")
    return "no difference that can be told"


def write_comparison(
    folder: Path, comparison: Comparison, found: AssessedModels, trends: Mapping[str, Estimate]
) -> str:
    """Write ``table.md``, ``table.csv`` and ``figure.png``, and return the table.

    Parameters
    ----------
    folder
        Folder for the files.
    comparison
        What was compared.
    found
        Numbers of `read_findings`.
    trends
        Rewards of the trainings that made their clips as they learned, by model.
    """
    n, base = comparison.best_of, found[BASE, 1]
    shown = [name for name, one in base.items() if one.kind in (PROXY, JUDGE)]
    shown += [name for name, one in base.items() if one.kind == DIVERSITY]
    models = [name for name, best_of in found if best_of == 1 and name != BASE]
    apart = [name for name, one in found[models[0], 1].items() if one.kind == DIVERGENCE]
    blank = [""] * len(apart)
    rows = [["base", "0", *(f"{base[name].mean:.3f}" for name in shown), *("0" for _ in apart)]]
    rows.append([f"best of {n}", f"{n} a prompt", *_cells(found[BASE, n], shown), *blank])
    for model in models:
        alone = found[model, 1]
        moved = [f"{alone[name].mean:.4g}" for name in apart]
        rows.append([titled(model), f"{comparison.clips:,} once", *_cells(alone, shown), *moved])
    for model in models:
        cells = _cells(found[model, n], shown)
        rows.append([f"{titled(model)}, best of {n}", f"and {n} a prompt", *cells, *blank])
    lines = [markdown_table(["", "clips made", *shown, *apart], rows), ""]
    lines += [
        f"The first line has means, the others differences, paired by prompt and noise, with 95 % intervals over "
        f"{comparison.held_out_limit} held-out prompts: of a model's single clips from the base's; of best of {n} from "
        f"the base's single clips; of a model's best of {n} from the base's best of {n}. A star: the interval does not "
        "hold 0.",
        "",
    ]
    lines += [f"- {titled(model)}: {verdict(found[model, 1])}." for model in models]
    lines += [
        f"- {titled(model)}: the reward of what it makes moved by {one:+.3f} over {one.rows} steps (least squares)."
        for model, one in trends.items()
    ]
    page = "\n".join(lines) + "\n"
    write_text(folder / "table.md", page)
    table = [
        {"model": model, "best_of": best_of, "metric": name, "kind": one.kind, "mean": one.mean}
        | one.difference.columns("difference")
        for (model, best_of), metrics in found.items()
        for name, one in metrics.items()
    ]
    write_text(folder / "table.csv", csv_table(table, list(table[0])))
    draw(folder / "figure.png", found, models, n)
    return page


def titled(model: str) -> str:
    """Return what tables call a model: its algorithm, and its seed if it is not the first."""
    arm, _, seed = model.rpartition("-")
    return TITLES.get(arm, arm) + ("" if seed == "0" else f" (seed {seed})")


def draw(path: Path, found: AssessedModels, models: Sequence[str], n: int) -> None:
    """Draw a panel for the reward and each metric of a judge, in it the differences of each arm."""
    metrics = [name for name, one in found[BASE, 1].items() if one.kind == JUDGE or name == REWARD]
    places = [(f"best of {n}", (BASE, n)), *((titled(model), (model, 1)) for model in models)]
    places += [(f"{titled(model)}, best of {n}\n(from best of {n})", (model, n)) for model in models]
    names, hollow = [name for name, _ in places], range(1 + len(models), len(places))
    size = (2.2 + 2.6 * len(metrics), 0.42 * len(places) + 0.9)
    with drawing(path, 1, len(metrics), size, sharey=True) as axes:
        for axis, metric in zip(axes[0], metrics, strict=True):
            numbers = [found[key][metric] for _, key in places]
            lines = [one.difference.columns() for one in numbers]
            draw_dots(axis, lines, names, colour=_COLOURS[numbers[0].kind], hollow=hollow)
            axis.axvline(0, color="#6d6875", linewidth=0.9, linestyle=(0, (3, 3)))
            axis.set_title(f"{metric} ({'proxy' if metric == REWARD else 'judge'})", fontsize=9)
            axis.set_xlabel("difference", fontsize=8)


def _cells(metrics: Mapping[str, Number], shown: Sequence[str]) -> list[str]:
    """Return differences, with a star where they differ from 0."""
    known = [metrics[name].difference if name in metrics else None for name in shown]
    return ["" if one is None else f"{one:+.3f}{'*' * one.differs}" for one in known]
