"""What a few votes on a new generator repair: anchor calibration, after TuneJury (arXiv 2606.17006).

    python -m experiments.analyses anchors --results runs/cmi_rm/results.jsonl --output runs/analyses/anchors

A reward that has never heard a generator may rate all of its clips too high or too low. Each generator of a results
file of `reward.benchmark` (`model_a`, `model_b`) is taken for the new one in turn; of its decided pairs with others

1. some prompts are drawn, until they have as many pairs as `--anchors`; these pairs are the anchors;
2. P(a) = sigmoid(t gap + o side) is fitted to them, where the gap is the score of a minus that of b, in standard
   deviations of all gaps of the task, and the side is 1 if a is the new generator's clip and -1 if b is: one offset o
   for the generator and one temperature t. Their priors are normal with a standard deviation of 1, around 0 for o and
   1 for t, so that without anchors the order is that of the reward. (TuneJury keeps t at 1 and fits the offsets of all
   generators together.)
3. the pairs of the other prompts are ordered by the gap alone and by the fit.

This is repeated with other anchors. OUTPUT holds `table.csv`, `table.md` and `figure.png`: accuracy (ACC; equal scores
count half) and cross-entropy (nats; before, of the gap itself as a logit) of each generator and of all of them, where a
pair counts for each of its two; the mean over the draws in which a pair was asked about, and the difference, paired,
with a 95 % interval over prompts. `lowest` and `highest` are the difference in single draws.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.analyses.calibration import METRICS, Pairs, calibrate, known_pairs
from experiments.figures import COLOURS, draw_dots, drawing, shown, write_report
from music.command import refuse_below_one
from music.errors import InputError
from music.intervals import FEWEST, RESAMPLES, Array, estimate_mean
from music.provenance import claim_folder
from music.tables import markdown_table
from reward.benchmark.extra import numbers_of
from reward.benchmark.metrics import Line
from reward.benchmark.result_rows import read_results

COLUMNS = ("dataset", "task", "generator", "metric", "n", "prompts", "before", "after", "difference", "low", "high",
           "lowest", "highest", "offset", "temperature")  # fmt: skip
ALL = "all"


@dataclass(frozen=True)
class Anchors:
    """Measure what a few votes on a new generator repair.

    Parameters
    ----------
    results
        Rows with predictions, as reward.benchmark writes them, with model_a and model_b.
    output
        Folder for table and figure.
    anchors
        Number of pairs of the new generator that are learned from.
    draws
        Number of draws of anchors.
    seed
        Seed of the draws and of the resampling.
    """

    results: Path
    output: Path = Path("runs/analyses/anchors")
    anchors: int = 100
    draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that count nothing."""
        refuse_below_one(self, "anchors", "draws")


def main(options: Anchors) -> None:
    """Write table and figure.

    Raises
    ------
    InputError
        If no generator has enough pairs beside the anchors.
    """
    claim_folder(options.output, options)
    lines: list[Line] = []
    left: dict[str, int] = {}
    for (dataset, task), known in known_pairs(read_results(options.results)).items():
        enough = {name: one for name, one in known.items() if one.asked_at_least(options.anchors) >= FEWEST}
        left |= {
            f"{name} ({dataset}, {task})": len(known[name].votes) for name in known.keys() - enough.keys()
        }
        facts: Line = {"dataset": dataset, "task": task}
        lines += [facts | line for line in calibrated(enough, options.anchors, options.draws, options.seed)]
    if not lines:
        most = max(left, key=lambda name: left[name], default="")
        told = f"the most are {left[most]} of {most}" if most else "its pairs name no model_a and model_b"
        raise InputError(
            f"{options.results} has no generator of whose decided pairs {FEWEST} are left beside --anchors "
            f"{options.anchors}: {told}"
        )
    left = dict(sorted(left.items()))
    write_report(
        options.output, options, {"table": (lines, COLUMNS)}, _page(lines, left, options), left_out=left
    )
    _draw(options.output / "figure.png", [line for line in lines if line["metric"] == "ACC"])


def calibrated(generators: Mapping[str, Pairs], anchors: int, draws: int, seed: int) -> list[Line]:
    """Return the lines of each generator of a task, new in turn, and of all of them if there are several."""
    lines: list[Line] = []
    whole: list[Array] = []
    for generator, pairs in generators.items():
        found, fits = calibrate(pairs, anchors, draws, seed)
        temperature, offset = fits.mean(axis=0).tolist()
        facts: Line = {"generator": generator, "offset": offset, "temperature": temperature / pairs.scale}
        lines += [facts | line for line in _lines(found, pairs.prompts, seed)]
        whole.append(found)
    if len(whole) > 1:
        prompts = [prompt for pairs in generators.values() for prompt in pairs.prompts]
        facts = {"generator": ALL}
        lines += [facts | line for line in _lines(np.concatenate(whole, axis=1), prompts, seed)]
    return lines


def _lines(found: Array, prompts: Sequence[Hashable], seed: int) -> list[Line]:
    """Return the line of each metric of `[draws, n, metrics, before and after]`."""
    asked = np.flatnonzero(~np.isnan(found[:, :, 0, 0]).all(axis=0))
    kept = [prompts[row] for row in asked.tolist()]
    means = np.nanmean(found[:, asked], axis=0)  # [n, metrics, before and after]
    lines: list[Line] = []
    for place, metric in enumerate(METRICS):
        before, after = means[:, place].T
        gain = estimate_mean((after - before).tolist(), kept, seed)
        single = np.nanmean(found[:, :, place, 1] - found[:, :, place, 0], axis=1)
        lines.append(
            {
                "metric": metric,
                "n": gain.rows,
                "prompts": gain.prompts,
                "before": float(before.mean()),
                "after": float(after.mean()),
                **numbers_of(gain, ("difference", "low", "high")),
                "lowest": float(single.min()),
                "highest": float(single.max()),
            }
        )
    return lines


def _page(lines: Sequence[Line], left: Mapping[str, int], options: Anchors) -> str:
    rows = []
    for line in lines:
        if line["metric"] == "ACC":
            numbers = [f"{line[name]:.3f}" for name in ("before", "after")]
            spread = f"{line['lowest']:+.3f} to {line['highest']:+.3f}"
            offset = f"{line['offset']:+.2f}" if "offset" in line else ""
            name = f"{line['generator']} ({line['dataset']}, {line['task']})"
            rows.append([name, str(line["n"]), *numbers, shown(line, 3, "difference"), spread, offset])
    header = ["new generator", "pairs", "before", "after", "difference", "single draws", "offset, nats"]
    note = (
        f"Accuracy on the decided pairs of a generator in {options.results} before and after {options.anchors} of them "
        f"calibrated the reward; mean of {options.draws} draws of anchors (seeds [{options.seed}, 0] to "
        f"[{options.seed}, {options.draws - 1}]); 95 % intervals over prompts ({RESAMPLES} resamples)."
    )
    if left:
        note += f" Too few pairs: {', '.join(f'{name}, {count}' for name, count in left.items())}."
    return f"## A reward calibrated for a new generator\n\n{markdown_table(header, rows)}\n{note}\n"


def _draw(path: Path, lines: Sequence[Line]) -> None:
    names = [f"{line['generator']} ({line['dataset']}, {line['task']})" for line in lines]
    with drawing(path, 1, 2, (8.5, 0.28 * len(lines) + 1.1), sharey=True) as axes:
        left, right = axes[0]
        for row, line in enumerate(lines):
            before, after = (100 * float(line[name] or 0) for name in ("before", "after"))
            left.plot([before, after], [row, row], color="#999999", linewidth=1.5)
            left.plot(before, row, "o", color=COLOURS[1], label="before" if row == 0 else None)
            left.plot(after, row, "o", color=COLOURS[0], label="after" if row == 0 else None)
        left.set_title("pairs ordered as people did, %", fontsize=9)
        left.legend(fontsize=8)
        differences = [line | {"value": line["difference"]} for line in lines]
        draw_dots(right, differences, names, scale=100)
        right.axvline(0, color="black", linewidth=0.8)
        right.set_title("difference, points", fontsize=9)
