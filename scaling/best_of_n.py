"""The main job: make n candidates for every prompt, score them, keep the best, and report what each n brings.

    accelerate launch scaling/best_of_n.py --n 10
    torchrun --nproc-per-node 2 -- scaling/best_of_n.py --n 10 --generator facebook/musicgen-small \
        --reward HaiwenXia/CMI-RM --prompts google/MusicCaps --seconds 10 --output runs/musiccaps

(without the `--`, torchrun takes --n for an abbreviation of its own options)

With no options it runs on the shipped lab suite, offline, on a CPU. Each stage takes up what an earlier,
perhaps killed run has left in the output folder:

1. generate: fill ``OUT/pool`` with candidates 0 to n-1 of each prompt (`generators.filling`);
2. score: add the scores of the reward model, and of further judges, beside the pool (``OUT/pool/scores``);
3. choose: copy the candidate with the highest reward of each prompt into ``OUT/best``, or with --favourites true
   the one that a person has marked in `scaling.browse`;
4. report: `summary.json` (all n by the unbiased estimator), `report.html` and `run.json` in OUT.

Each run adds to ``OUT/pool`` and replaces what it draws from it: ``OUT/best``, `summary.json`, `report.html`
and `run.json` are those of the last run.

An option that cannot be met, or the folder of another run, ends it with one line and exit code 2; what that
folder holds stays as it is.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from generators import fill_pool, load_generator
from generators.registry import given_sampling
from music.command import refuse_below_one, run
from music.durable import make_folder
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.prompts import load_prompts
from reward import RewardWeights
from reward.scoring.candidates import load_scorers, score_candidates
from scaling.browsing.favourites import read_favourites
from scaling.outcome import Outcome, Stages


@dataclass(frozen=True)
class BestOfN:
    """Make n candidates for every prompt, keep the one with the highest reward, report what each n brings.

    Attributes
    ----------
    generator
        A name (python -m generators list), hub id (facebook/musicgen-small, stabilityai/stable-audio-open-1.0),
        model folder, or folder:PATH with clips that any system has made.
    reward
        The scorer whose metrics make the reward: a name (lab-cmi-rm), hub id (HaiwenXia/CMI-RM), folder, or
        module:Class of a module that can be imported (installed or on PYTHONPATH).
    weights
        What the reward is made of.
    judges
        Further scorers, separated by commas: measured on the choice, without a part in it. Each must score every
        prompt; scaling.evaluate measures one that needs lyrics or a reference on the prompts that have them.
    prompts
        "lab", a .jsonl or .txt file, or MusicCaps: a .csv or .parquet file, or a hub id, and perhaps which rows
        (google/MusicCaps:balanced, musiccaps.csv:ids.txt).
    n
        Candidates for each prompt.
    seconds
        Length of each clip, s.
    seed
        Of the run; every candidate derives its own from it.
    limit
        Only the first so many prompts.
    output
        Folder for pool, best, summary.json, report.html, run.json. The same folder again resumes or extends
        the pool; all else in it is replaced by that of the new run.
    favourites
        Let best/ hold the favourite of each prompt that has one (python -m scaling.browse marks them), and the reward's
        choice elsewhere. What n brings is told of the reward's choice all the same.
    ignore_unsupported
        Go on without lyrics and references where the generator does not look at them; scorers still do.
    backend
        Library that runs the generator, if there is a choice.
    guidance
        Classifier-free guidance scale; the generator's own default if not given.
    steps
        Of a diffusion model; the generator's own default if not given.
    negative_prompt
        What guidance leads a diffusion model away from.
    temperature
        Of the sampling; the generator's own default if not given.
    top_k
        Sample among so many tokens; the generator's own default if not given.
    continuation
        Seconds of a prompt's reference that MusicGen goes on from; the clip begins with them.
    batch_size
        Candidates generated side by side; the generator's own default if not given.
    dtype
        Numeric type of generator and scorers.
    device
        auto, cpu, cuda ...
    """

    generator: str = "lab-musicgen"
    reward: str = "lab-cmi-rm"
    weights: str = "musicality=0.5,alignment=0.5"
    judges: str = ""
    prompts: str = "lab"
    n: int = 10
    seconds: float = 5.0
    seed: int = 0
    limit: int | None = None
    output: Path = Path("runs/best_of_n")
    favourites: bool = False
    ignore_unsupported: bool = False
    backend: str | None = None
    guidance: float | None = None
    steps: int | None = None
    negative_prompt: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    continuation: float | None = None
    batch_size: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "n", "limit", "batch_size")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--seconds must be above 0, got {self.seconds}")


def main(config: BestOfN) -> None:
    """Run the job; every process of a parallel run calls it."""
    stages = Stages()
    reward = RewardWeights.parse(config.weights)
    prompts = load_prompts(config.prompts, config.limit)
    make_folder(config.output)
    pool = Pool(config.output / "pool", create=True)
    pool.check_prompts(prompts)
    favourites = read_favourites(pool.folder) if config.favourites else None
    processes = Processes()
    with stages.time("load"):
        scorers = load_scorers(config.reward, config.judges, reward, config.device, config.dtype)
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
    processes.close()
    if processes.is_main:
        outcome = Outcome(config, reward, scorers, pool, candidates, metrics, stages, favourites)
        print(outcome.write(config.output))


if __name__ == "__main__":
    run(main, BestOfN)
