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

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.analyses.logistic import fit_logistic
from experiments.analyses.report import COLOURS, draw_dots, drawing, shown, write_report
from music.command import refuse_below_one
from music.errors import InputError
from music.tables import markdown_table
from reward.benchmark.extra import prompt_of
from reward.benchmark.intervals import FEWEST, RESAMPLES, Values, estimate_mean
from reward.benchmark.metrics import PREFERENCE_TASKS, Line, tested
from reward.benchmark.result_rows import Row, gap_of, preference_of, read_results

COLUMNS = ("dataset", "task", "generator", "metric", "n", "prompts", "before", "after", "difference", "low", "high",
           "lowest", "highest", "offset", "temperature")  # fmt: skip
ALL = "all"


@dataclass(frozen=True)
class Anchors:
    """Tell what a few votes on a new generator repair.

    Parameters
    ----------
    results
        Rows with predictions, as reward.benchmark writes them, with model_a and model_b.
    output
        Folder for table and figure.
    anchors
        Pairs of the new generator that are learned from.
    draws
        How often anchors are drawn anew.
    seed
        Of the draws and the resampling.
    """

    results: Path
    output: Path = Path("runs/analyses/anchors")
    anchors: int = 100
    draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that count nothing."""
        refuse_below_one(self, "anchors", "draws")


@dataclass(frozen=True)
class Pairs:
    """Decided pairs of one task, n in all.

    Attributes
    ----------
    gaps
        Score of a minus score of b, `[n]`.
    votes
        1 for a, 0 for b, `[n]`.
    generators
        Of a and b.
    prompts
        What each was made for.
    """

    gaps: Values
    votes: Values
    generators: Sequence[tuple[str, str]]
    prompts: Sequence[Hashable]

    def sides_of(self, generator: str) -> NDArray[np.int64]:
        """Return `[n]` 1 where only a is of a generator, -1 where only b is, else 0."""
        return np.array([(a == generator) - (b == generator) for a, b in self.generators])

    def asked_at_least(self, generator: str, anchors: int) -> int:
        """Return how many pairs of a generator any draw leaves: prompts with anchors are not asked about."""
        rows = np.flatnonzero(self.sides_of(generator))
        sizes = Counter(self.prompts[row] for row in rows)
        return len(rows) - (anchors - 1 + max(sizes.values()))


def main(options: Anchors) -> None:
    """Write table and figure.

    Raises
    ------
    InputError
        If no generator has more pairs than the anchors.
    """
    lines: list[Line] = []
    left: dict[str, int] = {}
    for (dataset, task), pairs in known_pairs(read_results(options.results)).items():
        enough = []
        for name in sorted({one for both in pairs.generators for one in both}):
            if pairs.asked_at_least(name, options.anchors) >= FEWEST:
                enough.append(name)
            else:
                left[f"{name} ({dataset}, {task})"] = int(np.abs(pairs.sides_of(name)).sum())
        facts: Line = {"dataset": dataset, "task": task}
        lines += [
            facts | line for line in calibrated(pairs, enough, options.anchors, options.draws, options.seed)
        ]
    if not lines:
        most = max(left, key=lambda name: left[name], default="")
        told = f"the most are {left[most]} of {most}" if most else "its pairs name no model_a and model_b"
        raise InputError(
            f"{options.results} has no generator of whose decided pairs {FEWEST} are left beside --anchors "
            f"{options.anchors}: {told}"
        )
    write_report(
        options.output, options, {"table": (lines, COLUMNS)}, _page(lines, left, options), left_out=left
    )
    _draw(options.output / "figure.png", [line for line in lines if line["metric"] == "ACC"])


def known_pairs(rows: Sequence[Row]) -> dict[tuple[str, str], Pairs]:
    """Return the decided and predicted pairs of two different, named generators, by data set and task."""
    found = {}
    for dataset, tasks in PREFERENCE_TASKS.items():
        for task in tasks:
            kept = []
            for row in tested(rows)[dataset]:
                names = str(row.get("model_a") or ""), str(row.get("model_b") or "")
                vote, gap = (
                    preference_of(row, task),
                    gap_of(row, ("musicality" if task == "preference" else task,)),
                )
                if vote in ("a", "b") and gap is not None and all(names) and names[0] != names[1]:
                    kept.append((gap, float(vote == "a"), names, prompt_of(row)))
            if kept:
                gaps, votes, generators, prompts = zip(*kept, strict=True)
                found[dataset, task] = Pairs(np.array(gaps), np.array(votes), generators, prompts)
    return found


def calibrated(pairs: Pairs, generators: Sequence[str], anchors: int, draws: int, seed: int) -> list[Line]:
    """Return the lines of each generator, and of all of them.

    Parameters
    ----------
    pairs
        Of one task.
    generators
        Those that are new in turn.
    anchors, draws, seed
        As in `Anchors`.
    """
    lines: list[Line] = []
    whole: list[tuple[Values, NDArray[np.int64]]] = []
    scale = float(pairs.gaps.std()) or 1.0
    for generator in generators:
        sides = pairs.sides_of(generator)
        rows = np.flatnonzero(sides)
        # [draws, rows of the generator, metrics, before and after]; NaN for anchors
        found = np.full((draws, len(rows), 2, 2), np.nan)
        fits = []
        for draw in range(draws):
            known = _drawn([pairs.prompts[row] for row in rows], anchors, np.random.default_rng([seed, draw]))
            taught, asked = rows[known == 1], known == 0
            fit = fit_offset(pairs.gaps[taught] / scale, sides[taught], pairs.votes[taught])
            rest = rows[asked]
            after = fit[0] * pairs.gaps[rest] / scale + fit[1] * sides[rest]
            found[draw, asked, :, 0] = _scores(pairs.gaps[rest], pairs.votes[rest])
            found[draw, asked, :, 1] = _scores(after, pairs.votes[rest])
            fits.append(fit)
        facts: Line = {
            "generator": generator,
            "offset": float(np.mean(fits, axis=0)[1]),
            "temperature": float(np.mean(fits, axis=0)[0] / scale),
        }
        lines += [facts | line for line in _lines(found, [pairs.prompts[row] for row in rows], seed)]
        whole.append((found, rows))
    if len(whole) > 1:
        found = np.concatenate([one for one, _ in whole], axis=1)
        prompts = [pairs.prompts[row] for _, rows in whole for row in rows]
        lines += [{"generator": ALL} | line for line in _lines(found, prompts, seed)]
    return lines


def fit_offset(gaps: Values, sides: NDArray[np.int64], votes: Values) -> Values:
    """Return temperature and offset `[2]` of anchors: gaps in standard deviations, sides and votes `[n]` each."""
    features = np.stack([gaps, sides.astype(float)], axis=1)
    return fit_logistic(features, votes, np.array([1.0, 0.0]), np.ones(2))


def _drawn(prompts: Sequence[Hashable], anchors: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return `[n]` 1 for anchors, 0 for pairs of prompts that have none, -1 for the rest of an anchor's prompt."""
    rows: dict[Hashable, list[int]] = {}
    for row, prompt in enumerate(prompts):
        rows.setdefault(prompt, []).append(row)
    groups, found, left = list(rows.values()), np.zeros(len(prompts), int), anchors
    for place in generator.permutation(len(groups)):
        if left > 0:
            found[groups[place]] = -1
            found[groups[place][:left]] = 1
            left -= len(groups[place][:left])
    return found


def _scores(logits: Values, votes: Values) -> Values:
    """Return `[n, 2]`: whether each logit orders its pair as people did (equal ones half), and its cross-entropy."""
    signed = (2 * votes - 1) * logits
    return np.stack([(np.sign(signed) + 1) / 2, np.logaddexp(0, -signed)], axis=1)


def _lines(found: Values, prompts: Sequence[Hashable], seed: int) -> list[Line]:
    """Return the line of each metric of `[draws, n, metrics, before and after]`."""
    asked = ~np.isnan(found[:, :, 0, 0]).all(axis=0)
    kept = [prompt for prompt, one in zip(prompts, asked, strict=True) if one]
    means = np.nanmean(found[:, asked], axis=0)  # [n, metrics, before and after]
    lines: list[Line] = []
    for place, metric in enumerate(("ACC", "cross_entropy")):
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
                "difference": gain.value,
                "low": None if math.isnan(gain.low) else gain.low,
                "high": None if math.isnan(gain.high) else gain.high,
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
