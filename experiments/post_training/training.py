"""Trains the arms of a comparison and assesses them, each by the command that anybody would use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rlhf.assess
import rlhf.train
from experiments.lab.workers import cores
from experiments.post_training.comparisons import Comparison
from music.durable import make_folder
from music.errors import InputError
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
        Number of trainings side by side, which share the cores.
    device
        Device of the models: auto, cpu, cuda ...

    Raises
    ------
    InputError
        If one fails; the others are finished.
    """
    jobs = [(arm, seed) for seed in seeds for arm in comparison.arms]
    threads = max(1, cores() // workers)

    def work(job: tuple[str, int]) -> None:
        arm, seed = job
        place = place_of(folder, arm, seed)
        words = [sys.executable, rlhf.train.__file__]
        options = {**comparison.training(arm), "seed": seed, "output": place, "device": device}
        run_command(words, options, place / _LOG, threads)
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
    # without the "--", torchrun would take --n for its own
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers), "--"]
    words = [sys.executable, *(launcher if workers > 1 else []), rlhf.assess.__file__]
    named = ",".join(f"{name}={model}" for name, model in models.items())
    options = {**comparison.assessment(), "models": named, "output": place, "device": device}
    run_command(words, options, folder / "assessment.txt", max(1, cores() // workers))
    return place


def run_command(words: Sequence[str], options: Mapping[str, object], log: Path, threads: int) -> None:
    """Run a command with options, what it says in a file; `InputError` if it fails."""
    make_folder(log.parent)
    given = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("a") as file:
        done = subprocess.run([*words, *given], env=environment, stdout=file, stderr=file)
    if done.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise InputError(f"{log} ends with code {done.returncode}: {' '.join(last)}")
