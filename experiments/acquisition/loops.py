"""The loops of a comparison: clips that are made and judged once, and a loop for each way and seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import rlhf.loop
from experiments.running import run_command
from generators import fill_pool, load_generator
from generators.registry import given_sampling
from music.devices import threads_of_torch
from music.intervals import Array
from music.options import Sampling
from music.paths import exists
from music.pool import Candidate, Pool
from music.processes import Processes
from music.prompts import load_prompts
from reward import Scorer, load_scorer
from reward.protocol import judging
from reward.scoring.candidates import load_scorers, metric_names, score_candidates
from reward.training.stored_frames import FrameFolder
from rlhf.asking.options import RewardLoop
from rlhf.models import copy_folder

ASKED, HELD_OUT = "pool", "held_out/pool"
Loops = Mapping[tuple[str, int], RewardLoop]  # (way, seed) -> options


@dataclass(frozen=True, eq=False)
class Judged:
    """What is known of held-out clips before any loop.

    Attributes
    ----------
    candidates
        N candidates of each of P prompts.
    rewards
        Rewards by the first reward, `[P, N]`.
    judges
        Metrics of the judges, `[P, N]` each.
    """

    candidates: Sequence[Sequence[Candidate]]
    rewards: Array
    judges: Mapping[str, Array]


def make_clips(options: RewardLoop, folder: Path) -> Judged:
    """Make the clips of a loop in a folder, have them judged by all who will, and return the held-out ones."""
    processes = Processes()
    prompts = {
        ASKED: load_prompts(options.prompts, options.limit),
        HELD_OUT: load_prompts(options.held_out or ""),
    }
    counts = {ASKED: options.n, HELD_OUT: options.held_out_n}
    (first, *judges), reward = load_scorers(options, options.judges)
    scorers: dict[str, list[Scorer]] = {ASKED: [first], HELD_OUT: [first, *judges]}
    raters = load_scorer(options.rater_judge, options.device, options.dtype)
    generator = load_generator(
        options.generator, device=options.device, dtype=options.dtype, **given_sampling(options, Sampling)
    )
    # with one thread, as the loops compute
    with threads_of_torch(1), FrameFolder(options.frames) as frames:
        frames.lend(first)
        for name, wanted in prompts.items():
            pool = Pool(folder / name, create=True)
            fill_pool(
                generator, wanted, counts[name], options.seconds, pool, options.seed_of_clips, processes
            )
            candidates = pool.candidates_of(wanted, counts[name])
            if name == ASKED:
                score_candidates([raters], pool, candidates, processes)
            metrics = score_candidates(scorers[name], pool, candidates, processes)
    names = [
        names[metric]
        for judge, names in zip(judges, metric_names([first, *judges])[1:], strict=True)
        for metric in judging(names)
        if judge.higher_is_better
    ]
    return Judged(candidates, reward(metrics), {name: metrics[name] for name in names})


def run_loops(loops: Loops, clips: Path, workers: int) -> None:
    """Run every loop on the clips of a folder, so many side by side; killed ones go on.

    Raises
    ------
    InputError
        If one fails; the others are finished.
    """

    def work(key: tuple[str, int]) -> None:
        options = loops[key]
        for name in (ASKED, HELD_OUT):
            if not exists(options.output / name):
                copy_folder(clips / name, options.output / name)
        run_command(rlhf.loop.__file__, _words(options), log=options.output / "log.txt")
        print(f"{key[0]}, seed {key[1]}: done", flush=True)

    with ThreadPoolExecutor(workers) as executor:
        for finished in [executor.submit(work, key) for key in loops]:
            finished.result()


def _words(options: RewardLoop) -> dict[str, Any]:
    """Return the options of a command that are not as they are by default."""
    found = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if value is not None and (field.default is MISSING or value != field.default):
            found[field.name] = json.dumps(value) if isinstance(value, dict) else value
    return found
