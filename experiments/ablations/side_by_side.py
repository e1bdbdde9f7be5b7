"""Trainings that do not wait for each other, in several processes."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

import torch

from experiments.ablations.stages import STAGES, Recipe
from experiments.lab.workers import cores

Job = tuple[str, int]  # a stage and its seed


def train_all(recipe: Recipe, jobs: Iterable[Job], workers: int) -> None:
    """Train stages, each after the one that it starts from; what is finished is left alone.

    Parameters
    ----------
    recipe
        What all trainings share.
    jobs
        Stages with their seeds.
    workers
        Processes, which share the cores. Each holds all embeddings in memory.
    """
    waiting = list(dict.fromkeys(one for job in jobs for one in _with_its_start(job)))
    if workers == 1:
        for name, seed in waiting:
            recipe.train(name, seed)
        return
    running: dict[Future[None], Job] = {}
    done: set[Job] = set()
    threads = max(1, cores() // workers)
    # processes that begin anew: forking one whose threads compute can block
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (threads,)) as processes:
        try:
            while waiting or running:
                for job in [job for job in waiting if done.issuperset(_with_its_start(job)[:-1])]:
                    waiting.remove(job)
                    running[processes.submit(_train, recipe, *job)] = job
                for finished in wait(running, return_when=FIRST_COMPLETED).done:
                    done.add(running.pop(finished))
                    finished.result()
        except BaseException:
            processes.shutdown(cancel_futures=True)
            raise


def _with_its_start(job: Job) -> list[Job]:
    name, seed = job
    start = STAGES[name].start
    return [*(_with_its_start((start, seed)) if start else []), job]


def _train(recipe: Recipe, name: str, seed: int) -> None:
    recipe.train(name, seed)
