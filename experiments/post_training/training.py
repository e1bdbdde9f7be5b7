"""Trains the arms of a comparison and assesses them, each by the command that anybody would use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rlhf.assess
import rlhf.train
from experiments.post_training.comparisons import Comparison
from experiments.running import run_command
from rlhf.rounds import MODEL

ASSESSMENT = "held_out"
_LOG = "log.txt"


def place_of(folder: Path, arm: str, seed: int) -> Path:
    """Return the folder of a training."""
    return folder / f"{arm}-{seed}"


def train_arms(
    comparison: Comparison, folder: Path, seeds: Sequence[int], workers: int, device: str
) -> dict[str, Path]:
    """Train every arm with every seed, and return the models by ``arm-seed``; killed ones go on.

    Parameters
    ----------
    comparison
        The comparison.
    folder
        Folder for a folder of each training, whose ``log.txt`` holds what it says.
    seeds
        Seeds of the trainings.
    workers
        Number of trainings side by side, of one thread each.
    device
        Device of the models: auto, cpu, cuda ...

    Raises
    ------
    InputError
        If one fails; the others are finished.
    """
    jobs = [(arm, seed) for seed in seeds for arm in comparison.arms]

    def work(job: tuple[str, int]) -> None:
        arm, seed = job
        place = place_of(folder, arm, seed)
        options = {**comparison.training(arm), "seed": seed, "output": place, "device": device}
        run_command(rlhf.train.__file__, options, log=place / _LOG)
        print(f"{arm}, seed {seed}: trained", flush=True)

    with ThreadPoolExecutor(workers) as executor:
        for finished in [executor.submit(work, job) for job in jobs]:
            finished.result()
    return {place_of(folder, *job).name: place_of(folder, *job) / MODEL for job in jobs}


def assess(
    comparison: Comparison, folder: Path, models: Mapping[str, Path], workers: int, device: str
) -> Path:
    """Assess models together by rlhf.assess, in so many processes, and return the folder of what was found."""
    place = folder / ASSESSMENT
    named = ",".join(f"{name}={model}" for name, model in models.items())
    options = {**comparison.assessment(), "models": named, "output": place, "device": device}
    run_command(rlhf.assess.__file__, options, processes=workers, log=folder / "assessment.txt")
    return place
