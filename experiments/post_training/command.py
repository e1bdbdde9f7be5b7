"""Trains all arms of a comparison, assesses them together and writes what was found.

    python -m experiments.post_training musicgen --output runs/post_training_comparison

``OUT/GENERATOR`` holds ``table.md``, ``table.csv`` and ``figure.png``, a folder for each training, and the assessment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.post_training.comparisons import COMPARISONS, Comparison
from experiments.post_training.report import read_findings, trend_of, write_comparison
from experiments.post_training.training import assess, place_of, train_arms
from music.command import refuse_below_one
from music.devices import find_device
from music.durable import make_folder
from music.errors import InputError
from music.provenance import claim_folder, write_run_record

ALL = "all"
_GPU_SEEDS = 3


@dataclass(frozen=True)
class ComparePostTraining:
    """Compare post-training algorithms, at equal numbers of generated clips, on the lab.

    Attributes
    ----------
    generator
        Comparison to make: musicgen, stable_audio or all.
    output
        Folder for a folder of each. The same folder again resumes.
    seeds
        Number of trainings of each algorithm; one on a CPU and three on a GPU if not given.
    workers
        Number of trainings side by side, of one thread each.
    device
        Device of the models: auto, cpu, cuda ...
    """

    POSITIONALS: ClassVar = ("generator",)

    generator: str = ALL
    output: Path = Path("runs/post_training_comparison")
    seeds: int | None = None
    workers: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse unknown generators and numbers out of range."""
        if self.generator not in (ALL, *COMPARISONS):
            raise InputError(
                f"{self.generator!r} is not compared: choose one of {', '.join((ALL, *COMPARISONS))}"
            )
        refuse_below_one(self, "seeds", "workers")


def main(options: ComparePostTraining) -> None:
    """Compare one generator after another; what is trained and assessed is not done again."""
    seeds = options.seeds or (1 if find_device(options.device).type == "cpu" else _GPU_SEEDS)
    for name in COMPARISONS if options.generator == ALL else [options.generator]:
        folder = options.output / name
        claim_folder(folder, options)
        print(compare(COMPARISONS[name], folder, range(seeds), options.workers, options.device))
        write_run_record(folder, options)


def compare(comparison: Comparison, folder: Path, seeds: Sequence[int], workers: int, device: str) -> str:
    """Train, assess, write ``table.md``, ``table.csv`` and ``figure.png``, and return the table."""
    make_folder(folder)
    models = train_arms(comparison, folder, seeds, workers, device)
    assessed = assess(comparison, folder, models, workers, device)
    trends = {
        f"{arm}-{seed}": trend_of(place_of(folder, arm, seed)) for seed in seeds for arm in comparison.arms
    }
    found = read_findings(assessed, comparison.best_of)
    return write_comparison(folder, comparison, found, {name: one for name, one in trends.items() if one})
