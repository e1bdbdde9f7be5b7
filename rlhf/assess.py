"""Whether a post-trained generator got better, or only looks better to its reward.

    python -m rlhf.assess --models runs/grpo/model,runs/dpo/model --judges experiments.lab.gold:Gold,mulan:lab-mulan
    python -m rlhf.assess --models runs/grpo/model --base facebook/musicgen-small --reward HaiwenXia/CMI-RM \
        --judges audiobox,clap --prompts google/MusicCaps --encoders clap --real data/musiccaps --seconds 10

1. The base and each model make n clips for each held-out prompt, all with the same noise (`rlhf.assessment.held_out`).
2. They are measured: by the proxy, which is the reward as it was trained on, with its guards; by judges, of which
   those that hear with the reward's features are marked (`reward.protocol`); how far a model went from the base
   (`rlhf.assessment.divergence`); how diverse its clips are, and how far from real ones
   (`rlhf.assessment.diversity`); by meters (`rlhf.assessment.indicators`); and what the reward's best of n would
   have given.
3. OUT holds ``metrics.csv``, ``table.md``, ``frontier.png``, ``report.html`` and ``run.json``; clips, scores and all
   else that costs time are kept beside them, so that a killed run goes on and another model is added at its own price.
"""

import math
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from music.command import refuse_below_one, run, split_names
from music.errors import InputError
from music.processes import Processes
from music.prompts import load_prompts, prompts_record
from music.provenance import device_name, write_run_record
from reward import Reward
from reward.scoring.candidates import load_scorers
from rlhf.assessment.comparison import BASE, Line, compare
from rlhf.assessment.diversity import audio_files, load_encoders
from rlhf.assessment.held_out import Asked, HeldOut
from rlhf.assessment.model_names import named_models
from rlhf.assessment.report import write_assessment
from rlhf.guarded_reward import Guarded
from rlhf.models import load_sampler


@dataclass(frozen=True)
class Assess:
    """Measure post-trained generators against the one that they began as.

    Attributes
    ----------
    models
        Their folders, with commas between; NAME=FOLDER names one.
    base
        What they began as: a name, hub id or folder.
    reward
        The scorer that they learned from, as in rlhf/train.py.
    weights
        What the reward is made of.
    level, silence_cost
        Of the reward's guards; see rlhf/train.py.
    judges
        Further scorers, with commas between.
    prompts
        Held out; as in scaling/best_of_n.py.
    n
        Clips of a prompt.
    best_of
        Numbers of candidates to pick from by the reward, with commas between.
    encoders
        Joint embeddings that tell clips apart, with commas between: mulan:lab-mulan, clap ...
    real
        A folder of real clips to be near to.
    seconds
        Length of each clip, s.
    seed
        Of all noise, and of the resampling of prompts.
    limit
        Only the first so many prompts.
    output
        Folder for all that is made. The same folder again goes on, with other models too.
    guidance, temperature, sampling_steps
        Of the sampling; the generator's own default if not given.
    dtype
        Numeric type of generators and scorers; divergences are computed in float32.
    device
        auto, cpu, cuda ...
    """

    models: str
    base: str = "lab-musicgen"
    reward: str = "lab-cmi-rm"
    weights: str = "musicality=0.5,alignment=0.5"
    level: float | None = -20.0
    silence_cost: float = 1.0
    judges: str = ""
    prompts: str = "lab-held-out"
    n: int = 4
    best_of: str = "1"
    encoders: str = "mulan:lab-mulan"
    real: Path | None = None
    seconds: float = 5.0
    seed: int = 0
    limit: int | None = None
    output: Path = Path("runs/assess")
    guidance: float | None = None
    temperature: float | None = None
    sampling_steps: int | None = None
    dtype: str = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "n", "limit", "sampling_steps")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--seconds must be above 0, got {self.seconds}")
        if self.silence_cost < 0:
            raise InputError(f"--silence_cost must be at least 0, got {self.silence_cost}")
        asked = split_names(self.best_of)
        if not all(one.isdecimal() and 0 < int(one) <= self.n for one in asked):
            raise InputError(f"--best_of must be numbers from 1 to --n {self.n}, got {self.best_of!r}")

    @property
    def numbers(self) -> list[int]:
        """The numbers of candidates to pick from, ascending; 1 among them."""
        return sorted({1, *map(int, split_names(self.best_of))})


def main(options: Assess) -> None:
    """Assess; every process of a parallel run calls it."""
    assess(options, named_models(options.models))


def assess(options: Assess, models: Mapping[str, str | Path]) -> list[Line]:
    """Measure base and models, write the report, and return the lines of ``metrics.csv``.

    Parameters
    ----------
    options
        What for; its `models` are not looked at.
    models
        Folders by name.

    Raises
    ------
    InputError
        If a model, prompt or scorer cannot be used; what was made stays.
    """
    reward = Reward.parse(options.weights)
    prompts = load_prompts(options.prompts, options.limit)
    real = audio_files(options.real) if options.real else []
    processes = Processes()
    judge, *judges = load_scorers(options.reward, options.judges, reward, options.device, options.dtype)
    proxy = Guarded(judge, options.level, options.silence_cost)
    encoders = load_encoders(options.encoders, options.device, options.dtype)

    asked = Asked(prompts, options.n, options.seconds, options.seed, real)
    load, scorers = partial(load_sampler, options), [proxy, *judges]
    where = (options.device, processes)
    held_out = HeldOut(options.output, asked, load, scorers, reward, encoders, *where)
    for name, source in {BASE: options.base, **models}.items():
        held_out.measure(name, source)
    lines = compare(held_out.measured, held_out.metrics, options.numbers, options.seed)
    if processes.is_main:
        facts = {
            "Base": options.base,
            **{f"Model {name}": str(source) for name, source in models.items()},
            "Reward": f"{options.weights} by {judge.name}",
            "Judges": ", ".join(one.name for one in judges) or "none",
            "Prompts": f"{options.prompts} ({len(prompts)}), {options.n} clips of {options.seconds:g} s each",
            "Seed": str(options.seed),
            "Reward model": proxy.hash,
            "Device": device_name(options.device),
            "Command": shlex.join(sys.argv),
        }
        print(write_assessment(options.output, lines, facts), end="")
        write_run_record(
            options.output,
            options,
            models=dict(models),
            prompts=prompts_record(options.prompts, prompts),
            scorers={scorer.name: scorer.hash for scorer in (proxy, *judges)},
            encoders={encoder.name: encoder.hash for encoder in encoders},
            real=len(real),
        )
    processes.close()
    return lines


if __name__ == "__main__":
    run(main, Assess)
