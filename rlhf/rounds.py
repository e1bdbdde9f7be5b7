"""The rounds of a post-training: each begins with the model that the round before has left, which is its reference.

For grpo this is the outer loop of algorithm 1 of its paper (arXiv 2402.03300). After a round its model is measured
on held-out prompts, if there are any, and a judge that falls while the reward rises ends the training
(`rlhf.assessment.watching`).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generators import fill_pool
from music.durable import CLAIM, claim_work, write_text
from music.errors import InputError
from music.files import read_object
from music.hashing import candidate_seed
from music.jsonl import dump_line, read_jsonl
from music.paths import is_file
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from music.provenance import RECORD
from reward import RewardWeights, Scorer
from reward.scoring.candidates import score_candidates, tell_flat
from rlhf.assessment.watching import Watch, held_out_row
from rlhf.choosing import Judged
from rlhf.guarded_reward import ClipReward
from rlhf.learners import Learner
from rlhf.models import copy_folder, load_sampler
from rlhf.options import LOG, ONLINE, PostTraining

MODEL = "model"
#: raise it with any change of the code that moves what a round learns
_RECIPE = 2
SAMPLES_BEFORE, SAMPLES_AFTER = "samples/before", "samples/after"
_POOLS = ("pool.jsonl", "pool.json")  # the second is what earlier versions call the first


@dataclass(frozen=True, eq=False)
class Rounds:
    """What a post-training does, round by round; what is done is not done again.

    Attributes
    ----------
    options
        Options of the run.
    learner
        What trains its generator.
    prompts
        Prompts to learn from.
    scorer, reward
        What judges, and the weights of its metrics.
    watch
        What measures held-out prompts; None measures none.
    processes
        Processes that share the work.
    """

    options: PostTraining
    learner: Learner
    prompts: list[Prompt]
    scorer: Scorer
    reward: RewardWeights
    watch: Watch | None
    processes: Processes

    def run(self) -> None:
        """Make ``OUT/model``: the model of the last round, or of that before a judge fell.

        Raises
        ------
        InputError
            If a finished run is to have another number of rounds, and those that it had are gone.
        """
        source, done, model = self.learner.start, rounds_done(self.options), self.options.output / MODEL
        if done and model.exists() and not (_place(self.options, 0) / MODEL).exists():
            raise InputError(
                f"{_place(self.options, 0)} is gone, with which {self.options.rounds} rounds would begin: give "
                f"--rounds {done}, or choose another --output"
            )
        if self.watch:
            self.watch.start()
        for index in range(self.options.rounds):
            place = _place(self.options, index)
            if not (place / MODEL).exists():
                self._learn(index, source, place)
            if self.watch and self.watch.has_fallen(index, place / MODEL):
                break
            source = place / MODEL
        if self.processes.is_main:
            if done not in (0, self.options.rounds):  # they are those of the model of before
                shutil.rmtree(self.options.output / SAMPLES_AFTER, ignore_errors=True)
            copy_folder(source, model)
        self.processes.barrier()

    def _learn(self, index: int, source: Path, place: Path) -> None:
        options, seed = self.options, candidate_seed(self.options.seed, "round", index)
        work, target = place / "training", place / MODEL
        self._claim(work)
        if options.algorithm in ONLINE:
            clip_reward = ClipReward(self.scorer, self.reward)
            self.learner.explore(source, self.prompts, clip_reward, seed, work, target)
            return
        pool = Pool(place / "pool", create=True)
        sampler = load_sampler(options, source)
        fill_pool(sampler, self.prompts, options.n, options.seconds, pool, seed, self.processes)
        del sampler
        candidates = pool.candidates_of(self.prompts, options.n)
        metrics = score_candidates([self.scorer], pool, candidates, self.processes)
        reward = self.reward.on(metrics)
        tell_flat(reward, self.processes, f"round {index}")
        judged = Judged(candidates, reward(metrics))
        if self.processes.is_main:
            row = {"round": index, "pool": judged.spread()} | reward.scales_record()
            write_text(place / _POOLS[0], dump_line(row))
        if not judged.best_and_worst():
            raise InputError(f"{place}: all clips of each prompt have the same reward: nothing to learn from")
        self.learner.learn(source, pool, judged, seed, work, target)

    def _claim(self, work: Path) -> None:
        """Refuse to go on with a training that another version began, and which learns otherwise."""
        if self.processes.is_main:
            if work.is_dir() and any(work.iterdir()) and not (work / CLAIM).exists():
                raise InputError(
                    f"{work} holds a training that an earlier version has begun, and which learned otherwise: delete "
                    "it, and the round learns anew from the clips that it has made"
                )
            claim_work(work, recipe=_RECIPE)
        self.processes.barrier()


def rounds_done(options: PostTraining) -> int:
    """Return how many rounds the finished run in the output folder has; 0 if none is finished."""
    record = options.output / RECORD
    return int(read_object(record)["config"]["rounds"]) if is_file(record) else 0


def log_of(options: PostTraining) -> list[dict[str, Any]]:
    """Return what was logged, of all rounds; steps are counted from the first.

    A finished run whose rounds are gone has it in ``OUT/log.jsonl`` alone.
    """
    written = options.output / LOG
    if is_file(written) and not _place(options, 0).exists():
        return [row for _, row in read_jsonl(written)]
    rows: list[dict[str, Any]] = []
    for index in range(options.rounds):
        place = _place(options, index)
        if path := next((place / name for name in _POOLS if (place / name).exists()), None):
            rows += [row for _, row in read_jsonl(path)]
        if (place / "training" / LOG).exists():
            for _, row in read_jsonl(place / "training" / LOG):
                rows.append({"round": index, **row, "step": row["step"] + index * options.steps})
        rows += held_out_row(options, index)
    return rows


def _place(options: PostTraining, index: int) -> Path:
    return options.output / "rounds" / f"{index}"
