"""Trains what ablations need, tests it and writes the tables.

    python -m experiments.lab.judgement_sets                    # the sets, once: runs/lab/sets
    python -m experiments.ablations training_sets               # one of `questions.ABLATIONS`
    python -m experiments.ablations --workers 2                 # all of them

What is trained and tested is kept in the output folder, and not done again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from experiments.ablations.lab_data import LabData, label_accuracy
from experiments.ablations.questions import ABLATIONS, Ablation, Arm
from experiments.ablations.report import draw, interval_of, markdown, verdict, write_csv
from experiments.ablations.stages import Recipe, train_all
from experiments.ablations.testing import (
    CLIP_METRICS,
    PAIR_METRICS,
    Benchmark,
    resampled_correlation,
    resampled_mean,
)
from music.command import refuse_below_one
from music.durable import claim_work, make_folder, write_json, write_text
from music.errors import InputError
from music.intervals import Array, Estimate, wilson_interval
from music.paths import exists

ALL = "all"


@dataclass(frozen=True)
class Ablate:
    """Answer questions about CMI-RM's recipe on the lab.

    Parameters
    ----------
    study
        Question to answer: training_sets, label_smoothing, consistency_filter, pseudo_count_epochs, pseudo_count_steps,
        mapping, head_size, prompt, windows, or all.
    output
        Folder for rows, embeddings, models and results.
    sets
        Folder that experiments.lab.judgement_sets wrote.
    towers
        MuQ-MuLan that encodes clips and texts: a name (lab-mulan), hub id or folder.
    steps
        Optimiser steps of a first stage.
    second_steps
        Optimiser steps of a second stage.
    seeds
        Number of trainings of each arm; as many as the question asks for by default.
    workers
        Number of trainings side by side, which share the cores; each needs about 6 GB of memory.
    """

    POSITIONALS: ClassVar = ("study",)

    study: str = ALL
    output: Path = Path("runs/ablations")
    sets: Path = Path("runs/lab/sets")
    towers: str = "lab-mulan"
    steps: int = 600
    second_steps: int = 150
    seeds: int | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.study not in (ALL, *ABLATIONS):
            raise InputError(f"{self.study!r} is no ablation: choose one of {', '.join((ALL, *ABLATIONS))}")
        refuse_below_one(self, "steps", "second_steps", "seeds", "workers")


def main(options: Ablate) -> None:
    """Answer one question after another; what is trained and tested is not done again."""
    if not exists(options.sets / "CMI-RewardBench" / "all_test.jsonl"):
        raise InputError(f"{options.sets} holds no sets: run python -m experiments.lab.judgement_sets first")
    make_folder(options.output)
    data = LabData(options.sets, options.output / "data", options.towers)
    facts: dict[str, Any] = {
        "steps": options.steps,
        "second_steps": options.second_steps,
        "towers": options.towers,
    }
    claim_work(options.output, **facts, sets=data.hashes())
    data.prepare()
    recipe = Recipe(data, options.output / "models", (options.steps, options.second_steps))
    benchmark = Benchmark(data)
    for name in ABLATIONS if options.study == ALL else [options.study]:
        print(answer(name, options, recipe, benchmark))


def answer(name: str, options: Ablate, recipe: Recipe, benchmark: Benchmark) -> str:
    """Train and test the arms of an ablation, write its results and return its page."""
    ablation = ABLATIONS[name]
    seeds = options.seeds or ablation.seeds
    jobs = [(arm.stage, seed) for arm in ablation.arms.values() for seed in range(seeds)]
    train_all(recipe, jobs, options.workers)
    scores: dict[str, tuple[Array, Array]] = {}
    for label, arm in ablation.arms.items():
        tested = [benchmark.scores(recipe.place(arm.stage, seed), arm.view) for seed in range(seeds)]
        scores[label] = np.stack([pairs for pairs, _ in tested]), np.stack([clips for _, clips in tested])
    found = {label: measure(arm, benchmark, *scores[label]) for label, arm in ablation.arms.items()}
    contrasts = compare(ablation, benchmark, {label: pairs for label, (pairs, _) in scores.items()})
    labels = {part: _labels(recipe.data, part) for part in ablation.labels}
    folder = options.output / name
    write_csv(folder / "table.csv", found)
    named = [{**one, "difference": interval_of(one["difference"])} for one in contrasts]
    write_json(folder / "contrasts.json", {"seeds": seeds, "contrasts": named, "labels": labels})
    draw(folder / "figure.png", ablation.title, found)
    counted = int((~np.isnan(benchmark.values(next(iter(scores.values()))[0][0], "human"))).sum())
    over = "over pairs and seeds" if seeds > 1 else "over pairs, of one training each"
    note = f"{seeds} seed{'s' * (seeds > 1)}; {counted:,} human pairs; 95 % intervals {over}."
    page = markdown(ablation.title, ablation.paper, found, contrasts, labels, note)
    write_text(folder / "table.md", page)
    return page


def measure(arm: Arm, benchmark: Benchmark, pairs: Array, clips: Array) -> dict[str, Estimate]:
    """Return all metrics of an arm, from scores `[seeds, pairs, 2]` and `[seeds, clips, 2]`."""
    found = {
        metric: resampled_mean(np.stack([benchmark.values(one, metric) for one in pairs]))
        for metric in PAIR_METRICS
    }
    if arm.view.window:
        return found
    for metric in CLIP_METRICS:
        chosen, ratings, column = benchmark.rated(metric)
        found[metric] = resampled_correlation(clips[:, chosen, column], ratings)
    return found


def compare(ablation: Ablation, benchmark: Benchmark, pairs: Mapping[str, Array]) -> list[dict]:
    """Return the differences that would show the paper's finding, pair by pair and seed by seed."""
    found = []
    for one in ablation.contrasts:
        first, second = (
            np.stack([benchmark.values(scores, one.metric) for scores in pairs[label]])
            for label in (one.first, one.second)
        )
        difference = resampled_mean(first - second)
        found.append({**asdict(one), "difference": difference, "verdict": verdict(one.metric, difference)})
    return found


def _labels(data: LabData, name: str) -> dict[str, tuple[float, float, float, int]]:
    """Return for each head the share of true labels in a set, its interval, and how many there are."""
    counts = label_accuracy(data.rows(name))
    return {
        head: (right / known, *wilson_interval(right, known), known)
        for head, (right, known) in counts.items()
    }
