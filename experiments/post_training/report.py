"""What the comparison found: a table, a figure, and which algorithms gain by gold."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.figures import draw_dots, drawing
from experiments.post_training.comparisons import Comparison
from music.durable import write_text
from music.jsonl import read_jsonl
from music.tables import markdown_table
from rlhf.assessment.comparison import BASE, DIVERGENCE, DIVERSITY, JUDGE, NUMBERS, PROXY, REWARD
from rlhf.options import LOG

TITLES = {"expert_iteration": "expert iteration", "dpo": "DPO", "grpo": "GRPO", "nft": "DiffusionNFT"}
_COLOURS = {PROXY: "#d6431f", JUDGE: "#1f5f8b"}


@dataclass(frozen=True)
class Number:
    """A metric of a model.

    Attributes
    ----------
    kind
        Of the metric, as in `rlhf.assessment.comparison`.
    mean
        Of all clips.
    difference, low, high
        From the base, paired, with the 95 % interval over prompts; NaN where there is none.
    """

    kind: str
    mean: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Trend:
    """The least-squares line through the rewards of a training, from its first step to its last.

    Attributes
    ----------
    rise
        Of the line, over all steps.
    low, high
        Its 95 % interval (Student's t).
    steps
        How many there are.
    """

    rise: float
    low: float
    high: float
    steps: int


Findings = Mapping[tuple[str, int], Mapping[str, Number]]  # (model, best of n) -> metric -> number


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Return the rows of an assessment's ``metrics.csv``."""
    return list(csv.DictReader(io.StringIO((folder / "metrics.csv").read_text(encoding="utf-8"))))


def findings(rows: Sequence[Mapping[str, str]], best_of: int) -> Findings:
    """Return the numbers of single clips and of the best of `best_of`."""
    found: dict[tuple[str, int], dict[str, Number]] = {}
    for row in rows:
        numbers = {name: float(row[name]) if row[name] else math.nan for name in NUMBERS}
        place = found.setdefault((row["model"], int(row["best_of"])), {})
        place[row["metric"]] = Number(
            row["kind"],
            numbers["mean"],
            numbers["difference"],
            numbers["difference_low"],
            numbers["difference_high"],
        )
    return {key: metrics for key, metrics in found.items() if key[1] in (1, best_of)}


def curves_of(training: Path) -> Trend | None:
    """Return how the reward moved while clips were made and learned from; None where none is logged."""
    from scipy import stats

    rows = [row for _, row in read_jsonl(training / LOG) if REWARD in row]
    if len(rows) < 3:
        return None
    line = stats.linregress([row["step"] for row in rows], [row[REWARD] for row in rows])
    span = rows[-1]["step"] - rows[0]["step"]
    reach = float(stats.t.ppf(0.975, len(rows) - 2)) * line.stderr * span
    return Trend(line.slope * span, line.slope * span - reach, line.slope * span + reach, len(rows))


def verdict(metrics: Mapping[str, Number]) -> str:
    """Say what judges' metrics of single clips were raised and lowered, as far as intervals tell."""
    judged = {name: one for name, one in metrics.items() if one.kind == JUDGE}
    raised = [name for name, one in judged.items() if one.low > 0]
    lowered = [name for name, one in judged.items() if one.high < 0]
    if raised and not lowered:
        return f"better: raises {', '.join(raised)} and lowers none"
    if lowered:
        return f"worse by {', '.join(lowered)}" + (f", better by {', '.join(raised)}" if raised else "")
    return "no difference that can be told"


def write_comparison(
    folder: Path, comparison: Comparison, found: Findings, curves: Mapping[str, Trend]
) -> str:
    """Write ``table.md``, ``table.csv`` and ``figure.png``, and return the table.

    Parameters
    ----------
    folder
        Where to.
    comparison
        What was compared.
    found
        From `findings`.
    curves
        Of the trainings that made their clips as they learned, by model.
    """
    n, base = comparison.best_of, found[BASE, 1]
    shown = [name for name, one in base.items() if one.kind in (PROXY, JUDGE)]
    shown += [name for name, one in base.items() if one.kind == DIVERSITY]
    models = [name for name, best_of in found if best_of == 1 and name != BASE]
    apart = [name for name, one in found[models[0], 1].items() if one.kind == DIVERGENCE]
    rows = [["base", "0", *(f"{base[name].mean:.3f}" for name in shown), *("0" for _ in apart)]]
    rows.append([f"best of {n}", f"{n} a prompt", *_cells(found[BASE, n], shown), *("" for _ in apart)])
    for model in models:
        alone = found[model, 1]
        moved = [f"{alone[name].mean:.4g}" for name in apart]
        rows.append([titled(model), f"{comparison.clips:,} once", *_cells(alone, shown), *moved])
    for model in models:
        rows.append(
            [
                f"{titled(model)}, best of {n}",
                f"and {n} a prompt",
                *_cells(found[model, n], shown),
                *("" for _ in apart),
            ]
        )
    lines = [markdown_table(["", "clips made", *shown, *apart], rows), ""]
    lines += [
        f"The first line has means, the others differences, paired by prompt and noise, with 95 % intervals over "
        f"{comparison.held_out_limit} held-out prompts: of a model's single clips from the base's; of best of {n} from "
        f"the base's single clips; of a model's best of {n} from the base's best of {n}. A star: the interval does not "
        "hold 0.",
        "",
    ]
    lines += [f"- {titled(model)}: {verdict(found[model, 1])}." for model in models]
    for model, one in curves.items():
        lines.append(
            f"- {titled(model)}: the reward of what it makes moved by {one.rise:+.3f} "
            f"[{one.low:+.3f}, {one.high:+.3f}] over {one.steps} steps (least squares)."
        )
    page = "\n".join(lines) + "\n"
    write_text(folder / "table.md", page)
    write_text(folder / "table.csv", _csv(found))
    draw(folder / "figure.png", found, models, n)
    return page


def titled(model: str) -> str:
    """Return what tables call a model: its algorithm, and its seed if it is not the first."""
    arm, _, seed = model.rpartition("-")
    return TITLES.get(arm, arm) + ("" if seed == "0" else f" (seed {seed})")


def draw(path: Path, found: Findings, models: Sequence[str], n: int) -> None:
    """Draw a panel for the reward and each metric of a judge, in it the differences of each arm."""
    metrics = [name for name, one in found[BASE, 1].items() if one.kind == JUDGE or name == REWARD]
    places = [(f"best of {n}", (BASE, n)), *((titled(model), (model, 1)) for model in models)]
    places += [(f"{titled(model)}, best of {n}\n(from best of {n})", (model, n)) for model in models]
    names, hollow = [name for name, _ in places], range(1 + len(models), len(places))
    size = (2.2 + 2.6 * len(metrics), 0.42 * len(places) + 0.9)
    with drawing(path, 1, len(metrics), size, sharey=True) as axes:
        for axis, metric in zip(axes[0], metrics, strict=True):
            numbers = [found[key][metric] for _, key in places]
            lines = [{"value": one.difference, "low": one.low, "high": one.high} for one in numbers]
            draw_dots(axis, lines, names, colour=_COLOURS[numbers[0].kind], hollow=hollow)
            axis.axvline(0, color="#6d6875", linewidth=0.9, linestyle=(0, (3, 3)))
            axis.set_title(f"{metric} ({'proxy' if metric == REWARD else 'judge'})", fontsize=9)
            axis.set_xlabel("difference", fontsize=8)


def _cells(metrics: Mapping[str, Number], shown: Sequence[str]) -> list[str]:
    return [_cell(metrics[name]) if name in metrics else "" for name in shown]


def _cell(one: Number) -> str:
    if math.isnan(one.low):
        return f"{one.difference:+.3f}"
    star = "*" if one.low > 0 or one.high < 0 else ""
    return f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]{star}"


def _csv(found: Findings) -> str:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["model", "best_of", "metric", "kind", "mean", "difference", "low", "high"])
    for (model, best_of), metrics in found.items():
        for name, one in metrics.items():
            table.writerow([model, best_of, name, one.kind, one.mean, one.difference, one.low, one.high])
    return buffer.getvalue()
