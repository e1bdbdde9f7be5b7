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
   else that costs time are kept beside them, so that a killed run resumes and another model costs only its own share.
"""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from generators.filling import refuse_prompts
from music.command import refuse_below_one, run, split_names
from music.distributed.same_inputs import agree_on_prompts, meet
from music.errors import InputError
from music.prompts import load_prompts, prompts_record
from music.provenance import device_name, write_run_record
from reward.scoring.candidates import load_scorers
from rlhf.assessment.comparison import BASE, MetricOfModel, compare
from rlhf.assessment.divergence import sampled
from rlhf.assessment.held_out import HeldOut
from rlhf.assessment.model_names import named_models
from rlhf.assessment.report import write_assessment
from rlhf.guarded_reward import Guarded
from rlhf.models import load_sampler
from rlhf.options import Measuring


@dataclass(frozen=True)
class Assess(Measuring):
    """Measure post-trained generators against the one that they began as.

    Attributes
    ----------
    models
        Folders of the trained models, separated by commas; NAME=FOLDER names one.
    base
        Model that they began as: a name, hub id or folder.
    prompts
        Held-out prompts, given as in scaling/best_of_n.py.
    n
        Number of clips for each prompt.
    best_of
        Numbers of candidates to pick from by the reward, separated by commas.
    output
        Folder for all that is made. The same folder again resumes, with other models too.
    """

    models: str
    base: str = "lab-musicgen"
    prompts: str = "lab-held-out"
    n: int = 4
    best_of: str = "1"
    output: Path = Path("runs/assess")

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        refuse_below_one(self, "n")
        given = split_names(self.best_of)
        if not all(one.isdecimal() and 0 < int(one) <= self.n for one in given):
            raise InputError(f"--best_of must be numbers from 1 to --n {self.n}, got {self.best_of!r}")

    @property
    def numbers(self) -> list[int]:
        """The numbers of candidates to pick from, ascending; 1 among them."""
        return sorted({1, *map(int, split_names(self.best_of))})


def main(options: Assess) -> None:
    """Assess; every process of a parallel run calls it."""
    assess(options, named_models(options.models))


def assess(options: Assess, models: Mapping[str, str | Path]) -> list[MetricOfModel]:
    """Measure base and models, write the report, and return the lines of ``metrics.csv``.

    Parameters
    ----------
    options
        Options of the command, whose `models` are not looked at.
    models
        Folders of the models, by name.

    Raises
    ------
    InputError
        If a model, prompt or scorer cannot be used; what was made stays.
    """
    with meet(options, options.output, alone=True) as processes:
        prompts = load_prompts(options.prompts, options.limit)
        agree_on_prompts(processes, prompts)
        (judge, *judges), reward = load_scorers(options, options.judges)
        scorers = [Guarded(judge, options.level, options.silence_cost), *judges]
        for source in (options.base, *models.values()):  # before any clip is made
            sampler = load_sampler(options, source)
            refuse_prompts(sampler, prompts, options.seconds)
            sampled(sampler)
        held_out = HeldOut(options.output, options, prompts, options.n, scorers, reward, processes)
        for name, source in {BASE: options.base, **models}.items():
            held_out.measure(name, source)
        lines = compare(held_out.measured, held_out.metrics, options.numbers, options.seed)
        if processes.is_main:
            facts = {
                "Base": options.base,
                **{f"Model {name}": str(source) for name, source in models.items()},
                "Reward": f"{reward.title} by {judge.name}",
                "Judges": ", ".join(one.name for one in judges) or "none",
                "Prompts": f"{options.prompts} ({len(prompts)}), {options.n} clips of {options.seconds:g} s each",
                "Seed": str(options.seed),
                "Reward model": scorers[0].hash,
                "Device": device_name(options.device),
                "Command": shlex.join(sys.argv),
            }
            print(write_assessment(options.output, lines, facts), end="")
            write_run_record(
                options.output,
                options,
                models=dict(models),
                prompts=prompts_record(options.prompts, prompts),
                scorers={scorer.name: scorer.hash for scorer in scorers},
                encoders={encoder.name: encoder.hash for encoder in held_out.encoders},
                real=len(held_out.real),
            )
        return lines


if __name__ == "__main__":
    run(main, Assess)
