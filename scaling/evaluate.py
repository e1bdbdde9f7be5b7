"""What best of n brings by the word of any scorers, from pools that exist: the paper's table 5.

    python -m scaling.evaluate runs/demo/pool --judges experiments.lab.gold:Gold,mulan:lab-mulan
    python -m scaling.evaluate runs/musicgen/pool,runs/stable_audio/pool --best_of 1,3,10 --output runs/table_5 \
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

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from music.command import run, split_names
from music.distributed.same_inputs import meet
from music.durable import make_folder, write_text
from music.errors import InputError
from music.intervals import (
    FEWEST,
    Array,
    Estimate,
    bootstrap_means,
    percentile_interval,
    telling_digits,
)
from music.options import Judging, Runtime, Standardising
from music.paths import short_names
from music.pool import Candidate, Pool
from music.provenance import claim_folder, write_run_record
from music.tables import csv_table, latex_table, markdown_table
from reward import RewardWeights, Scorer
from reward.scoring.candidates import hashes_of, load_scorers, score_candidates, tell_flat
from scaling.estimators import best_of_n

_ROUNDING = 1e-9  # share of a mean that is no difference


@dataclass(frozen=True)
class Evaluate(Standardising, Judging, Runtime):
    """Measure what best of n brings, by any scorers, on pools that exist.

    Attributes
    ----------
    pools
        Folders of pools, separated by commas.
    best_of
        Numbers of candidates to pick from, separated by commas.
    seed
        Seed of the resampling of prompts.
    output
        Folder for the tables.
    """

    POSITIONALS: ClassVar = ("pools",)
    RENAMED: ClassVar = {"n": "best_of"}

    pools: str
    best_of: str = "1,3,10"
    seed: int = 0
    output: Path = Path("runs/evaluate")

    def __post_init__(self) -> None:
        """Refuse what is no list of numbers or of different pools."""
        if not split_names(self.pools):
            raise InputError("name a pool: a folder that a run of best_of_n.py has filled")
        folders = [os.path.realpath(folder) for folder in split_names(self.pools)]
        if twins := [folder for number, folder in enumerate(folders) if folder in folders[:number]]:
            raise InputError(f"the pool {twins[0]} is named twice")
        given = split_names(self.best_of)
        if not given or not all(number.isdecimal() and int(number) > 0 for number in given):
            raise InputError(f"--best_of must be numbers above 0 with commas between, got {self.best_of!r}")

    @property
    def numbers(self) -> list[int]:
        """The numbers of candidates, ascending."""
        return sorted({int(number) for number in split_names(self.best_of)})


@dataclass(frozen=True)
class Finding:
    """A metric of what the reward picks among n candidates: a row of ``table.csv``.

    Attributes
    ----------
    n, candidates
        Number of candidates that the reward picks from, and of all candidates of a prompt.
    metric, chooses
        Name of the metric, and whether it is the reward or a part of it.
    value, gain
        Mean over the prompts that have the metric, and its difference from n = 1, paired by prompt.
    pool, generator
        Folder of the pool, and who made the clips in it.
    """

    n: int
    metric: str
    chooses: bool
    candidates: int
    value: Estimate
    gain: Estimate
    pool: str = ""
    generator: str = ""

    @property
    def is_above_chance(self) -> bool:
        """Whether the interval of the gain lies above 0."""
        return self.gain.low > _ROUNDING * abs(self.value.value)

    def row(self) -> dict[str, Any]:
        """Return the columns of ``table.csv``."""
        return {
            "pool": self.pool,
            "generator": self.generator,
            "prompts": self.value.prompts,
            "candidates": self.candidates,
            "n": self.n,
            "metric": self.metric,
            "chooses": "yes" if self.chooses else "no",
            **self.value.columns("mean", "low", "high"),
            **self.gain.columns("gain", "gain_low", "gain_high"),
        }


def main(options: Evaluate) -> None:
    """Score all pools and write the tables; every process of a parallel run calls it."""
    with meet(options) as processes:
        claim_folder(options.output, options)
        pools = [Pool(folder) for folder in split_names(options.pools)]
        rows = [complete(pool, options.numbers[-1]) for pool in pools]
        scorers, weights = load_scorers(options, options.judges)
        make_folder(options.output)  # before any clip is scored
        findings: list[Finding] = []
        for pool, candidates in zip(pools, rows, strict=True):
            metrics = score_candidates(scorers, pool, candidates, processes, leave_out=True)
            reward = weights.on(metrics)
            tell_flat(reward, processes, pool.folder)
            generator = ", ".join(dict.fromkeys(one.generator for row in candidates for one in row))
            found = measure(metrics, reward, options.numbers, options.seed)
            findings += [replace(one, pool=str(pool.folder), generator=generator) for one in found]
        if processes.is_main:
            write(options, findings, scorers, weights)


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
            f"{pool.folder} has {counts[fewest]} candidates for prompt {fewest!r}, fewer than the {needed} of "
            f"--best_of: make more with best_of_n.py --n {needed}, or ask for fewer"
        )
    return [[row[index] for index in range(counts[fewest])] for row in by_prompt.values()]


def measure(
    metrics: Mapping[str, Array], reward: RewardWeights, numbers: Sequence[int], seed: int
) -> list[Finding]:
    """Return what is found for each n and metric, the reward first.

    Parameters
    ----------
    metrics
        Metrics by name, `[P, N]` each; those of the reward among them. A prompt with NaN is left out of that metric.
    reward
        What picks; one that is standardised, on the scale of these metrics.
    numbers
        Numbers of candidates to pick from.
    seed
        Seed of the resampling.
    """
    rewards = reward(metrics)
    found = []
    for n in numbers:
        for name, values in {"reward": rewards, **metrics}.items():
            known = ~np.isnan(values).any(axis=1)
            picked, single = (best_of_n(rewards[known], values[known], size) for size in (n, 1))
            value, gain = _estimates(np.stack([picked, picked - single], axis=1), seed)
            chooses = name == "reward" or bool(reward.weights.get(name))
            found.append(Finding(n, name, chooses, rewards.shape[1], value, gain))
    return found


def _estimates(columns: Array, seed: int) -> list[Estimate]:
    """Return the mean of each column `[P, K]`, with its interval if there are prompts enough."""
    prompts, count = columns.shape
    means = columns.mean(axis=0) if prompts else np.full(count, nan)
    low, high = np.full((2, count), nan)
    if prompts >= FEWEST:
        low, high = percentile_interval(bootstrap_means(columns, seed))
    return [
        Estimate(float(mean), float(lower), float(upper), prompts, prompts)
        for mean, lower, upper in zip(means, low, high, strict=True)
    ]


def write(
    options: Evaluate, findings: Sequence[Finding], scorers: Sequence[Scorer], reward: RewardWeights
) -> None:
    """Write the tables and print the one for people."""
    folder = options.output
    lines = [finding.row() for finding in findings]
    write_text(folder / "table.csv", csv_table(lines, list(lines[0])))
    header, rows = for_people(findings)
    names = names_of(findings)
    rewards = {one.pool: one for one in findings if one.metric == "reward"}
    counts = [
        f"{one.value.prompts} prompts x {one.candidates} of {names[pool]}" for pool, one in rewards.items()
    ]
    counts += dict.fromkeys(
        f"{one.metric} of {one.value.prompts} of {prompts} prompts of {names[one.pool]}"
        for one in findings
        if one.value.prompts < (prompts := rewards[one.pool].value.prompts)
    )
    note = (
        f"Means and 95 % intervals over prompts, none of fewer than {FEWEST}: {'; '.join(counts)}. "
        f"The reward is {reward.title} by {scorers[0].name}. A star: the gain over n = 1 is above 0."
    )
    page = f"{markdown_table(header, rows)}\n{note}\n"
    write_text(folder / "table.md", page)
    write_text(folder / "table.tex", latex_table(header, rows, note))
    write_run_record(folder, options, scorers=hashes_of(scorers), weights=dict(reward.weights))
    print(page, end="")


def names_of(findings: Sequence[Finding]) -> dict[str, str]:
    """Return what to call each pool in a table, by its folder."""
    pools = list(dict.fromkeys(one.pool for one in findings))
    return dict(zip(pools, short_names(pools), strict=True))


def generator_names(generators: Iterable[str]) -> dict[str, str]:
    """Return what to call generators in a table: those that are called by a path, by its end."""
    names = list(dict.fromkeys(generators))
    places = {name: name.removeprefix("folder:") for name in names}
    paths = [
        name
        for name, place in places.items()
        if ", " not in name and (name != place or place.startswith(("/", ".")) or place.count("/") > 1)
    ]
    short = short_names([places[name] for name in paths])
    return {**dict(zip(names, names, strict=True)), **dict(zip(paths, short, strict=True))}


def for_people(findings: Sequence[Finding]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows with a row for each pool and n, and a column for each metric."""
    metrics = list(dict.fromkeys(one.metric for one in findings))
    digits = {name: telling_digits(one.value for one in findings if one.metric == name) for name in metrics}
    several = len({one.generator for one in findings}) < len({one.pool for one in findings})
    pools, generators = names_of(findings), generator_names(one.generator for one in findings)
    rows: dict[tuple[str, int], list[str]] = {}
    for one in findings:
        generator = generators[one.generator]
        name = f"{generator} ({pools[one.pool]})" if several else generator
        row = rows.setdefault((one.pool, one.n), [f"{name}, n = {one.n}"])
        row.append(f"{one.value:.{digits[one.metric]}f}{'*' * one.is_above_chance}")
    return ["", *metrics], list(rows.values())


if __name__ == "__main__":
    run(main, Evaluate)
