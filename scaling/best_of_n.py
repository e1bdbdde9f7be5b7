"""The main job: make n candidates for every prompt, score them, keep the best, and report what each n brings.

    accelerate launch scaling/best_of_n.py --n 10
    music-reward --num_processes 2 best-of-n --n 10 --generator facebook/musicgen-small \
        --reward HaiwenXia/CMI-RM --prompts google/MusicCaps --seconds 10 --output runs/musiccaps

With no options it runs on the shipped lab suite, offline, on a CPU. Each stage takes up what an earlier,
perhaps killed run has left in the output folder:

1. generate: fill ``OUT/pool`` with candidates 0 to n-1 of each prompt (`generators.filling`);
2. score: add the scores of the reward model, and of further judges, beside the pool (``OUT/pool/scores``);
3. choose: copy the candidate with the highest reward of each prompt, or the best --keep, into ``OUT/best``; with
   --favourites true the first is the one that a person has marked in `scaling.browse`;
4. report: `summary.json` (all n by the unbiased estimator), `ranking.csv`, `report.html` and `run.json` in OUT.

Each run adds to ``OUT/pool`` and replaces what it draws from it: ``OUT/best``, `summary.json`, `ranking.csv`,
`report.html` and `run.json` are those of the last run.

An option that cannot be met, or the folder of another run, ends it with one line and exit code 2; what that
folder holds stays as it is.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from generators import fill_pool, load_generator
from generators.registry import given_sampling
from music.command import refuse_below_one, run
from music.distributed.same_inputs import agree_on_prompts, meet
from music.errors import InputError
from music.options import Generation, Judging, Runtime, Standardising
from music.pool import Pool
from music.prompts import load_prompts
from reward.scoring.candidates import load_scorers, refuse_unscorable, score_candidates, tell_flat
from scaling.browsing.favourites import read_favourites
from scaling.outcome import Outcome, Stages


@dataclass(frozen=True)
class BestOfN(Standardising, Judging, Generation, Runtime):
    """Make n candidates for every prompt, keep the one with the highest reward, report what each n brings.

    Attributes
    ----------
    generator
        Generator: a name (python -m generators list), hub id (facebook/musicgen-small,
        stabilityai/stable-audio-open-1.0), model folder, or folder:PATH with clips that any system has made.
    judges
        Further scorers, separated by commas: they are measured on the choice, and have no part in it. Each must score
        every prompt; scaling.evaluate measures one that needs lyrics or a reference on the prompts that have them.
    prompts
        Prompts: "lab", a text of several words, a .jsonl or .txt file, or MusicCaps: a .csv or .parquet file, or a hub
        id, and perhaps which rows (google/MusicCaps:balanced, musiccaps.csv:ids.txt).
    n
        Number of candidates for each prompt.
    seconds
        Length of each clip, s.
    seed
        Seed of the run; every candidate derives its own from it.
    limit
        Number of prompts to take from the beginning; all if not given.
    output
        Folder for pool, best, summary.json, ranking.csv, report.html and run.json. The same folder again resumes or
        extends the pool; everything else in it is replaced.
    favourites
        Whether best/ holds the favourite of each prompt that has one (music-reward browse marks them), and the reward's
        choice elsewhere. What n brings is measured on the reward's choice all the same.
    keep
        Number of candidates of each prompt in best/, the best ones; above 1 their names and rows say the rank.
    """

    TAKES_UP: ClassVar = ("Search",)  # whose candidates are these

    generator: str = "lab-musicgen"
    prompts: str = "lab"
    n: int = 10
    seconds: float = 5.0
    seed: int = 0
    limit: int | None = None
    output: Path = Path("runs/best_of_n")
    favourites: bool = False
    keep: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "n", "limit", "batch_size", "keep")
        if self.keep > self.n:
            raise InputError(f"--keep must be at most --n, got {self.keep} of {self.n}")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--seconds must be above 0, got {self.seconds}")


def main(config: BestOfN) -> None:
    """Run the job; every process of a parallel run calls it."""
    stages = Stages()
    with meet(config, config.output, alone=True) as processes:
        prompts = load_prompts(config.prompts, config.limit)
        agree_on_prompts(processes, prompts)
        pool = Pool(config.output / "pool", create=True)
        pool.check_prompts(prompts)
        favourites = read_favourites(pool.folder) if config.favourites else None
        with stages.time("load"):
            scorers, weights = load_scorers(config, config.judges)
            refuse_unscorable(scorers, prompts)
            generator = load_generator(
                config.generator, config.backend, config.device, config.dtype, **given_sampling(config)
            )
        with stages.time("generate"):
            fill_pool(
                generator,
                prompts,
                config.n,
                config.seconds,
                pool,
                config.seed,
                processes,
                config.ignore_unsupported,
            )
        candidates = pool.candidates_of(prompts, config.n)
        with stages.time("score"):
            metrics = score_candidates(scorers, pool, candidates, processes)
        reward = weights.on(metrics)
        tell_flat(reward, processes)
        if processes.is_main:
            outcome = Outcome(
                config, reward, scorers, pool, candidates, metrics, stages, favourites, config.keep
            )
            print(outcome.write(config.output))


if __name__ == "__main__":
    run(main, BestOfN)
