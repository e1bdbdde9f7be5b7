"""Spend compute on each prompt better than best of n does: drop what will not win, or stop when it is not worth it.

    accelerate launch scaling/search.py --method prune --n 10
    music-reward --num_processes 2 search --method stop --n 20 --cost 0.1 --output runs/stop
    music-reward search --method stop --budget 4 --from_pool runs/best_of_n/pool --output runs/stop_offline

With no options it runs on the shipped lab suite, offline, on a CPU. Each stage takes up what an earlier,
perhaps killed run has left in the output folder:

1. search: find candidates of each prompt by a method (`scaling.methods`), several prompts at a time, into ``OUT/pool``;
   candidates that were dropped half-way are rows of ``OUT/pool/partials.jsonl``, and nothing takes them for clips;
2. score: add the scores of the reward model, and of further judges, beside the pool;
3. choose: copy the finished candidate with the highest reward of each prompt, or the best --keep, into ``OUT/best``;
4. report: `summary.json`, `ranking.csv`, `report.html` and `run.json` in OUT, with the compute that was spent, in units
   of one finished and scored clip.

The survivors of `prune`, `stop` and `cfg` are candidates of best of n, to the bit: a later run of best_of_n.py with the
same --output makes only what is missing.

An option that cannot be met, or the folder of another run, ends it with one line and exit code 2; what that
folder holds stays as it is.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from music.command import refuse_below_one, run
from music.distributed.same_inputs import meet
from music.errors import InputError
from music.options import Generation, Judging, Runtime, Standardising
from scaling.methods.protocol import RoundMethod
from scaling.methods.registry import method_class
from scaling.outcome import Stages
from scaling.searching.offline import search_in_pool
from scaling.searching.online import search_for_prompts


@dataclass(frozen=True)
class Search(Standardising, Judging, Generation, Runtime):
    """Spend compute on each prompt by a method that brings more than best of n, and say what it cost.

    Attributes
    ----------
    method
        Method: prune (drop candidates whose previews have a low reward), stop (draw until it is not worth it), cfg
        (drop candidates that guidance has led least far; no reward), random (drop none), noise (search around the best
        noise), particles (draw anew on the way, by the reward of previews), evolve (breed from the best, on the way) or
        gradient (change the noise by the gradient of the reward).
    n
        Number of candidates that are begun for each prompt; for stop the most that are drawn, for evolve the first
        population, for gradient the noises that are changed. By default 10, for gradient 1.
    budget
        Compute for each prompt in finished and scored clips, in place of --n; for stop it is shared over all prompts.
    schedule
        Schedule of prune and cfg: after which share of the work which share of the candidates goes on.
    cost
        Cost of a candidate for stop, in units of the spread of rewards within prompts; 0.1 by default, and 0 with a
        budget.
    looks
        Shares of the work after which particles are heard, with commas between.
    tempering
        Weight of a standard deviation of reward for particles: 0 would draw them all alike.
    ascents
        Number of steps that gradient takes from each noise.
    ascent_angle
        How far gradient turns the noise in each of them, degrees.
    from_pool
        Pool on which stop is only told, from scores: which candidates it would have drawn, and what they would have
        been worth.
    generator
        Generator: a name (python -m generators list), hub id or model folder; all but stop need one that can be stopped
        half-way.
    judges
        Further scorers, separated by commas: they are measured on the choice, and have no part in it. Each must score
        every prompt.
    prompts
        Prompts: "lab", a text of several words, a .jsonl or .txt file, or MusicCaps: a .csv or .parquet file, or a hub
        id, and perhaps which rows (google/MusicCaps:balanced, musiccaps.csv:ids.txt).
    seconds
        Length of each clip, s.
    seed
        Seed of the run; every candidate derives its own from it.
    limit
        Number of prompts to take from the beginning; all if not given.
    output
        Folder for pool, best, summary.json, ranking.csv, report.html and run.json. The same folder again resumes the
        search or extends it to more prompts.
    keep
        Number of finished candidates of each prompt in best/, the best ones; above 1 their names and rows say the rank.
    at_once
        Number of prompts that are searched side by side; by default so many that the generator's batches are full, also
        when few candidates are left. It decides memory and speed, and nothing of what is found.
    """

    method: Literal["prune", "stop", "cfg", "random", "noise", "particles", "evolve", "gradient"] = "prune"
    n: int | None = None
    budget: float | None = None
    schedule: str = "0.3=0.5,0.5=0.5"
    cost: float | None = None
    looks: str = "0.2,0.4,0.6,0.8"
    tempering: float = 2.0
    ascents: int = 5
    ascent_angle: float = 5.0
    from_pool: Path | None = None
    generator: str = "lab-musicgen"
    prompts: str = "lab"
    seconds: float = 5.0
    seed: int = 0
    limit: int | None = None
    output: Path = Path("runs/search")
    keep: int = 1
    at_once: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and what the method does not go with."""
        refuse_below_one(self, "n", "limit", "batch_size", "keep", "at_once")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--seconds must be above 0, got {self.seconds}")
        if self.budget is not None and not (math.isfinite(self.budget) and self.budget >= 1):
            raise InputError(f"--budget must be at least one clip, got {self.budget}")
        kind = method_class(self.method)
        in_rounds = issubclass(kind, RoundMethod)
        if self.budget is not None and self.n is not None and not in_rounds:
            raise InputError(f"--budget says how much --method {self.method} does: leave out --n")
        if self.from_pool is not None and not in_rounds:
            raise InputError(f"--from_pool goes with --method stop: {self.method} needs a generator")
        if in_rounds and self.standardise:
            raise InputError(
                f"--method {self.method} weighs rewards while there are only some: leave out --standardise"
            )
        kind.of(self, self.n or kind.usual_n)


def main(config: Search) -> None:
    """Run the search; every process of a parallel run calls it."""
    stages = Stages()
    with meet(config, config.output, alone=True) as processes:
        search = search_in_pool if config.from_pool is not None else search_for_prompts
        outcome = search(config, processes, stages)
        if processes.is_main:
            print(outcome.write(config.output))


if __name__ == "__main__":
    run(main, Search)
