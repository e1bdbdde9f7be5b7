"""What best of n brings by the word of any scorers, from pools that exist: the paper's table 5.

    python -m scaling.evaluate runs/demo/pool --judges experiments.lab.gold:Gold,mulan:lab-mulan
    python -m scaling.evaluate runs/musicgen/pool,runs/stable_audio/pool --n 1,3,10 --output runs/table_5 \
        --reward HaiwenXia/CMI-RM --judges mulan,audiobox,songeval

1. Every candidate is scored by the reward model and the judges, beside the pool; what is scored is not scored again.
2. For each n the reward picks the best of n candidates of a prompt; the mean of each metric over what it picks is
   estimated from all n-subsets of the candidates (`scaling.estimators`), with a 95 % interval over prompts and the gain
   over n = 1, paired by prompt; fewer than ten prompts say nothing of chance, and have neither interval nor star.
   Prompts that a judge cannot score, as they have no lyrics perhaps, are left out of its metrics, and counted.
3. OUTPUT holds `table.csv`, with every number, `table.md` and `table.tex`.

The reward must rise with n, as that is what is picked by; a metric that is a part of it need not. What the judges say
is the finding.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from music.command import run, split_names
from music.durable import make_folder, write_text
from music.errors import InputError
from music.intervals import FEWEST, Array, bootstrap_means, percentile_interval
from music.pool import Candidate, Pool
from music.processes import Processes
from music.provenance import write_run_record
from music.tables import latex_table, markdown_table
from reward import Reward, Scorer
from reward.scoring.candidates import load_scorers, score_candidates
from scaling.estimators import best_of_n

_COLUMNS = ("pool", "generator", "prompts", "candidates", "n", "metric", "chooses")
_NUMBERS = ("mean", "low", "high", "gain", "gain_low", "gain_high")
_ROUNDING = 1e-9  # share of a mean that is no difference
Line = dict[str, Any]


@dataclass(frozen=True)
class Evaluate:
    """Measure what best of n brings, by any scorers, on pools that exist.

    Parameters
    ----------
    pools
        Folders of pools, with commas between.
    reward
        The scorer that picks, as in reward.score.
    weights
        What the reward is made of.
    judges
        Further scorers, with commas between.
    n
        Numbers of candidates to pick from, with commas between.
    seed
        Of the resampling of prompts.
    output
        Folder for the tables.
    dtype
        float32 or bfloat16.
    device
        auto, cpu or cuda.
    """

    pools: str
    reward: str = "lab-cmi-rm"
    weights: str = "musicality=0.5,alignment=0.5"
    judges: str = ""
    n: str = "1,3,10"
    seed: int = 0
    output: Path = Path("runs/evaluate")
    dtype: str = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what is no list of numbers or of pools."""
        if not split_names(self.pools):
            raise InputError("name a pool: a folder that a run of best_of_n.py has filled")
        if (
            not all(number.isdecimal() and int(number) > 0 for number in split_names(self.n))
            or not self.numbers
        ):
            raise InputError(f"--n must be numbers above 0 with commas between, got {self.n!r}")

    @property
    def numbers(self) -> list[int]:
        """The numbers of candidates, ascending."""
        return sorted({int(number) for number in split_names(self.n)})


def main(options: Evaluate) -> None:
    """Score all pools and write the tables; every process of a parallel run calls it."""
    reward = Reward.parse(options.weights)
    pools = [Pool(folder) for folder in split_names(options.pools)]
    rows = [complete(pool, options.numbers[-1]) for pool in pools]
    processes = Processes()
    scorers = load_scorers(options.reward, options.judges, reward, options.device, options.dtype)
    lines: list[Line] = []
    for pool, candidates in zip(pools, rows, strict=True):
        metrics = score_candidates(scorers, pool, candidates, processes, leave_out=True)
        facts = {
            "pool": str(pool.folder),
            "generator": ", ".join(dict.fromkeys(one.generator for row in candidates for one in row)),
        }
        lines += [facts | line for line in measure(metrics, reward, options.numbers, options.seed)]
    processes.close()
    if processes.is_main:
        write(options, lines, scorers)


def complete(pool: Pool, needed: int) -> list[list[Candidate]]:
    """Return candidates 0 to N-1 of each prompt, for the largest N that all prompts have.

    Raises
    ------
    InputError
        If N is below `needed`, naming a prompt that has no more.
    """
    by_prompt: dict[str, dict[int, Candidate]] = {}
    for candidate in pool.candidates:
        by_prompt.setdefault(candidate.prompt_id, {})[candidate.candidate] = candidate
    if not by_prompt:
        raise InputError(f"the pool {pool.folder} is empty")
    counts = {
        name: next(index for index in range(len(row) + 1) if index not in row)
        for name, row in by_prompt.items()
    }
    fewest = min(counts, key=lambda name: counts[name])
    if counts[fewest] < needed:
        raise InputError(
            f"{pool.folder} has {counts[fewest]} candidates for prompt {fewest!r}, fewer than the {needed} of --n: "
            f"make more with best_of_n.py --n {needed}, or ask for fewer"
        )
    return [[row[index] for index in range(counts[fewest])] for row in by_prompt.values()]


def measure(metrics: Mapping[str, Array], reward: Reward, numbers: Sequence[int], seed: int) -> list[Line]:
    """Return a line for each n and metric, the reward first.

    Parameters
    ----------
    metrics
        By name, `[P, N]` each; those of the reward among them. A prompt with NaN is left out of that metric.
    reward
        What picks.
    numbers
        The n.
    seed
        Of the resampling.

    Returns
    -------
    list
        Lines of ``table.csv``, in which intervals are None for fewer than `FEWEST` prompts.
    """
    rewards = np.sum([weight * metrics[name] for name, weight in reward.weights.items()], axis=0)
    measured = {"reward": rewards, **metrics}
    lines = []
    for n in numbers:
        for name, values in measured.items():
            known = ~np.isnan(values).any(axis=1)
            picked, single = (best_of_n(rewards[known], values[known], size) for size in (n, 1))
            facts = {"prompts": int(known.sum()), "candidates": rewards.shape[1], "n": n, "metric": name}
            facts["chooses"] = "yes" if name == "reward" or reward.weights.get(name) else "no"
            columns = np.stack([picked, picked - single], axis=1)
            lines.append(facts | dict.fromkeys(_NUMBERS) | _estimates(columns, seed))
    return lines


def _estimates(columns: Array, seed: int) -> Line:
    """Return means and intervals of value and gain, `[P, 2]`, as far as there are prompts enough."""
    found: Line = {}
    if len(columns):
        found |= dict(zip(("mean", "gain"), map(float, columns.mean(axis=0)), strict=True))
    if len(columns) >= FEWEST:
        low, high = percentile_interval(bootstrap_means(columns, seed))
        found |= dict(zip(("low", "gain_low"), map(float, low), strict=True))
        found |= dict(zip(("high", "gain_high"), map(float, high), strict=True))
    return found


def write(options: Evaluate, lines: Sequence[Line], scorers: Sequence[Scorer]) -> None:
    """Write the tables and print the one for people."""
    folder = options.output
    make_folder(folder)
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, (*_COLUMNS, *_NUMBERS), lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    write_text(folder / "table.csv", buffer.getvalue())
    header, rows = for_people(lines)
    of = {one["pool"]: one for one in lines if one["metric"] == "reward"}
    counts = [f"{one['prompts']} prompts x {one['candidates']} of {pool}" for pool, one in of.items()]
    counts += dict.fromkeys(
        f"{one['metric']} of {one['prompts']} of {of[one['pool']]['prompts']} prompts of {one['pool']}"
        for one in lines
        if one["prompts"] < of[one["pool"]]["prompts"]
    )
    note = (
        f"Means and 95 % intervals over prompts, none of fewer than {FEWEST}: {'; '.join(counts)}. "
        f"The reward is {options.weights} by {scorers[0].name}."
    )
    page = f"{markdown_table(header, rows)}\n{note} A star: the gain over n = 1 is above 0.\n"
    write_text(folder / "table.md", page)
    write_text(folder / "table.tex", latex_table(header, rows, note))
    write_run_record(folder, options, scorers={scorer.name: scorer.hash for scorer in scorers})
    print(page, end="")


def for_people(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows with a row for each pool and n, and a column for each metric."""
    metrics = list(dict.fromkeys(line["metric"] for line in lines))
    digits = {name: _digits([line for line in lines if line["metric"] == name]) for name in metrics}
    several = len({line["generator"] for line in lines}) < len({line["pool"] for line in lines})
    rows: dict[tuple[str, int], list[str]] = {}
    for line in lines:
        name = f"{line['generator']} ({line['pool']})" if several else line["generator"]
        row = rows.setdefault((line["pool"], line["n"]), [f"{name}, n = {line['n']}"])
        row.append(_cell(line, digits[line["metric"]]))
    return ["", *metrics], list(rows.values())


def _digits(lines: Sequence[Line]) -> int:
    """Return how many digits behind the point tell the ends of intervals apart, or else show three of the means."""
    most = max((abs(line["mean"]) for line in lines if line["mean"] is not None), default=0.0)
    widths = [line["high"] - line["low"] for line in lines if line["low"] is not None]
    wide = [width for width in widths if width > _ROUNDING * most]
    return int(np.clip((1 if wide else 2) - math.floor(math.log10(min(wide, default=most) or 1)), 1, 6))


def _cell(line: Line, digits: int) -> str:
    """Return mean, interval and star, as far as there are any."""
    if line["mean"] is None:
        return "–"
    if line["low"] is None:
        return f"{line['mean']:.{digits}f}"
    mean, low, high = (f"{line[part]:.{digits}f}" for part in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]{'*' * (line['gain_low'] > _ROUNDING * abs(line['mean']))}"


if __name__ == "__main__":
    run(main, Evaluate, positionals=("pools",))
