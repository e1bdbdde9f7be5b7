"""Options of post-training: what both of its commands take, how weights are learned, and the rest of a training.

    accelerate launch rlhf/train.py --algorithm expert_iteration --output runs/expert_iteration
    accelerate launch rlhf/train.py --algorithm grpo --generator facebook/musicgen-small --reward HaiwenXia/CMI-RM \
        --prompts google/MusicCaps:train --seconds 10 --output runs/grpo
    music-reward --num_processes 2 post-train --algorithm dpo --output runs/dpo

`rlhf.train` and `rlhf.assess` say what they do with them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from music.command import refuse_below_one, refuse_negative
from music.errors import InputError
from music.options import Judging, Runtime, Sampling, Standardising
from reward.scoring.level import check_level

LOG = "log.jsonl"  # of a training, a row a step
ONLINE = ("grpo", "rloo")  # algorithms that make their clips as they learn
#: options that change nothing of what is learned but its last bits: a killed run may go on with others
MEANS = ("micro_batch_size", "gradient_checkpointing", "save_every", "tracker")


@dataclass(frozen=True, kw_only=True)
class Measuring(Standardising, Judging, Sampling, Runtime):
    """How clips are made and measured, in training and in assessment.

    Attributes
    ----------
    standardise
        Whether each metric of the reward becomes a z-score before it is weighed: in training within the clips of the
        round, on held-out prompts on the scale of the base's clips, so that models can be compared. Several scorers
        without weights get equal shares then.
    level
        Level that clips are brought to before they are judged, dBFS, so that loudness earns nothing; null leaves it.
    silence_cost
        Cost of silence: what each metric of a clip that is silent throughout loses, others in proportion.
    encoders
        Joint embeddings that measure diversity, separated by commas: mulan:lab-mulan, clap ...
    real
        Folder of real clips, to which the distance is measured.
    seconds
        Length of each clip, s.
    seed
        Seed of all noise and order, and of the resampling of prompts.
    limit
        Number of prompts to take from the beginning; all if not given.
    """

    level: float | None = -20.0
    silence_cost: float = 1.0
    encoders: str = "mulan:lab-mulan"
    real: Path | None = None
    seconds: float = 5.0
    seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "limit", "sampling_steps")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--seconds must be above 0, got {self.seconds}")
        refuse_negative(self, "silence_cost")
        check_level(self.level)


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How weights are learned.

    Attributes
    ----------
    steps
        Steps of the optimiser, in each round.
    learning_rate
        Learning rate of AdamW, after a linear rise over a tenth of the steps.
    batch_size
        Clips (pairs, for dpo) in each step, over all processes.
    micro_batch_size
        Clips that a process learns from at once; gradients are accumulated up to the batch.
    lora_r
        Rank of the low-rank update.
    save_every
        Steps from one checkpoint to the next.
    gradient_checkpointing
        Whether layers are computed again for the gradient, which saves memory.
    tracker
        Tracker that logs go to as well: none, tensorboard or wandb.
    seed
        Seed of all noise and order, and of the resampling of prompts.
    dtype
        Numeric type of the computation: float32 or bfloat16; weights learn in float32.
    """

    steps: int = 50
    learning_rate: float = 3e-4
    batch_size: int = 32
    micro_batch_size: int = 32
    lora_r: int = 16
    save_every: int = 25
    gradient_checkpointing: bool = False
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    seed: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def bfloat16(self) -> bool:
        """Whether to compute in bfloat16."""
        return self.dtype == "bfloat16"

    @property
    def mixed_precision(self) -> Literal["no", "bf16"]:
        """What accelerate calls the numeric type of the computation."""
        return "bf16" if self.bfloat16 else "no"

    def accumulation(self, processes: int) -> int:
        """Return how many micro-batches a process takes in a step.

        Raises
        ------
        InputError
            If the batch is not a whole number of them for each process.
        """
        at_once = self.micro_batch_size * processes
        if self.batch_size % at_once:
            whole = self.batch_size % processes == 0
            cure = f": give --micro_batch_size {self.batch_size // processes}" if whole else ""
            raise InputError(
                f"--batch_size {self.batch_size} must be a multiple of --micro_batch_size "
                f"{self.micro_batch_size} times the {processes} processes{cure}"
            )
        return self.batch_size // at_once

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: it rises linearly over the first tenth of the steps.

        The first step has its share of the rise, not 0, and learns.
        """
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.steps // 10))

    def identity(self) -> dict[str, object]:
        """Return what a resumed training must share with the killed one, by names that never change."""
        own = {field.name: getattr(self, field.name) for field in fields(Optimisation)}
        for name in ("dtype", *MEANS):
            del own[name]
        return {**own, "bfloat16": self.bfloat16}


@dataclass(frozen=True)
class PostTraining(Optimisation, Measuring):
    """Train a generator with a reward.

    Attributes
    ----------
    algorithm
        Algorithm: expert_iteration or dpo; for MusicGen also grpo and rloo; for Stable Audio also nft.
    generator
        Generator to train: a MusicGen without melody, or a Stable Audio in the format of diffusers; a name, hub id or
        folder.
    prompts
        Prompts to learn from, given as in scaling/best_of_n.py.
    n
        Number of clips for each prompt: in a round, or in a step of grpo and rloo.
    rounds
        Rounds of training; each begins with the model of the one before.
    output
        Folder for all that is made. The same folder again resumes.
    beta
        Cost of leaving the model before, of a mean over a clip, so that it means the same for any length: of nats a
        code, or of the squared error of a velocity (`rlhf.preferring`, `rlhf.musicgen.online`,
        `rlhf.stable_audio.losses`); the usual one of the algorithm and generator if not given.
    loss
        Loss of dpo: dpo or ipo.
    winner
        Weight of the winner's own likelihood in dpo: 1 pulls as strongly as the preference itself at the start
        (`rlhf.preferring`); the usual one of the generator if not given.
    held_out
        Prompts to measure the model of each round on, given as `prompts`; none are measured if not given.
    held_out_n
        Number of clips for each held-out prompt.
    stop_on
        Metrics of judges, separated by commas, whose fall ends the training while the reward rises: those of all
        independent judges if not given, none if empty. See `rlhf.assessment.watching`.
    samples
        Number of prompts to make a clip for before and after; those from before tell how robust the reward is.
    """

    algorithm: Literal["expert_iteration", "dpo", "grpo", "rloo", "nft"] = "expert_iteration"
    generator: str = "lab-musicgen"
    prompts: str = "lab-train"
    n: int = 8
    rounds: int = 2
    output: Path = Path("runs/post_training")
    beta: float | None = None
    loss: Literal["dpo", "ipo"] = "dpo"
    winner: float | None = None
    held_out: str | None = None
    held_out_n: int = 4
    stop_on: str | None = None
    samples: int = 16

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        counts = ("rounds", "steps", "batch_size", "micro_batch_size", "lora_r", "save_every")
        refuse_below_one(self, *counts, "held_out_n", "samples")
        refuse_negative(self, "beta", "winner")
        if self.beta == 0 and self.algorithm in ("dpo", "nft"):
            raise InputError(f"--beta must be above 0 for {self.algorithm}, which learns nothing with 0")
        if self.learning_rate <= 0:
            raise InputError(f"--learning_rate must be above 0, got {self.learning_rate}")
        if self.n < 2:
            raise InputError(f"--n must be at least 2, as clips of a prompt are compared, got {self.n}")
        if (self.judges or self.stop_on) and not self.held_out:
            raise InputError("--judges and --stop_on are for held-out prompts: give --held_out too")
        if self.standardise and self.algorithm in ONLINE:
            raise InputError(
                f"--standardise compares the clips of a round, of which {self.algorithm} learns before all are made: "
                "leave it out, or choose expert_iteration, dpo or nft"
            )
        if self.algorithm in ONLINE and self.batch_size % self.n:
            raise InputError(
                f"--batch_size {self.batch_size} must be a multiple of --n {self.n}: whole groups"
            )

    def beta_or(self, usual: Mapping[str, float]) -> float:
        """Return beta, or what is usual for the algorithm; 0 for one that has none."""
        return usual.get(self.algorithm, 0.0) if self.beta is None else self.beta

    def winner_or(self, usual: float) -> float:
        """Return the weight of the winner's own likelihood, or what is usual."""
        return usual if self.winner is None else self.winner
