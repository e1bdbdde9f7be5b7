"""The options of a post-training.

How weights are learned, whatever the algorithm and the library.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from music.command import refuse_below_one
from music.errors import InputError


@dataclass(frozen=True)
class Optimisation:
    """How weights are learned.

    Attributes
    ----------
    steps
        Of the optimiser.
    learning_rate
        Of AdamW, after a linear rise over a tenth of the steps.
    batch_size
        Clips (pairs, of preferences) a step, over all processes.
    micro_batch_size
        Of them at once in a process; the rest follows by accumulation.
    lora_r
        Rank of the update.
    save_every
        Steps from one checkpoint to the next.
    gradient_checkpointing
        Compute layers again for the gradient, in place of keeping what they gave.
    bfloat16
        Compute in bfloat16, with weights in float32.
    seed
        Of order and rollouts.
    tracker
        tensorboard, wandb or none.
    """

    steps: int = 100
    learning_rate: float = 3e-4
    batch_size: int = 32
    micro_batch_size: int = 32
    lora_r: int = 16
    save_every: int = 25
    gradient_checkpointing: bool = False
    bfloat16: bool = False
    seed: int = 0
    tracker: str = "none"


LOG = "log.jsonl"  # of a training, a row a step
ONLINE = ("grpo", "rloo")  # algorithms that make their clips as they learn


@dataclass(frozen=True)
class PostTraining:
    """Train a generator with a reward.

    Attributes
    ----------
    algorithm
        expert_iteration, dpo; of MusicGen also grpo, rloo; of Stable Audio also nft.
    generator
        A MusicGen without melody, or a Stable Audio in the format of diffusers: a name, hub id or folder.
    reward
        The scorer whose metrics make the reward, as in scaling/best_of_n.py.
    weights
        What the reward is made of.
    level
        What clips are brought to before they are judged, dBFS, so that loudness earns nothing; null leaves it.
    silence_cost
        Taken from each metric of a clip that is silent throughout; see `rlhf.guarded_reward`.
    prompts
        As in scaling/best_of_n.py.
    n
        Clips of a prompt: in a round, or in a step of grpo and rloo.
    rounds
        Of training; each begins with the model of the one before.
    steps
        Of the optimiser, in each round.
    seconds
        Length of each clip, s.
    seed
        Of the run.
    limit
        Only the first so many prompts.
    output
        Folder for all that is made. The same folder again goes on.
    guidance, temperature, sampling_steps
        Of the sampling: scale of guidance, temperature of MusicGen, steps of Stable Audio; the generator's own
        default if not given.
    learning_rate
        Of AdamW.
    batch_size
        Clips a step (pairs, of dpo), over all processes.
    micro_batch_size
        Of them at once in a process.
    lora_r
        Rank of the update.
    beta
        How dear it is to leave the model before, in the terms of the algorithm: `rlhf.musicgen.offline`,
        `rlhf.musicgen.online`, `rlhf.stable_audio.losses`.
    loss
        Of dpo: dpo or ipo.
    winner
        Of dpo: weight of the winner's own likelihood.
    save_every
        Steps from one checkpoint to the next.
    held_out
        Prompts to measure the model of each round on, as `prompts`; none are measured if not given.
    held_out_n
        Clips of each of them.
    judges
        Further scorers for them, with commas between.
    stop_on
        Metrics of judges, with commas between, of which a fall ends the training while the reward rises: all of
        independent judges if not given, none if empty. See `rlhf.assessment.watching`.
    encoders, real
        For diversity and the distance to real clips; as in rlhf/assess.py.
    samples
        Prompts to make a clip for before and after; those from before tell how robust the reward is.
    gradient_checkpointing
        Compute layers again for the gradient, in place of keeping what they gave.
    tracker
        none, tensorboard or wandb.
    dtype
        What is computed in; weights learn in float32.
    device
        auto, cpu, cuda ...
    """

    algorithm: Literal["expert_iteration", "dpo", "grpo", "rloo", "nft"] = "expert_iteration"
    generator: str = "lab-musicgen"
    reward: str = "lab-cmi-rm"
    weights: str = "musicality=0.5,alignment=0.5"
    level: float | None = -20.0
    silence_cost: float = 1.0
    prompts: str = "lab-train"
    n: int = 8
    rounds: int = 2
    steps: int = 50
    seconds: float = 5.0
    seed: int = 0
    limit: int | None = None
    output: Path = Path("runs/post_training")
    guidance: float | None = None
    temperature: float | None = None
    sampling_steps: int | None = None
    learning_rate: float = 3e-4
    batch_size: int = 32
    micro_batch_size: int = 32
    lora_r: int = 16
    beta: float | None = None
    loss: Literal["dpo", "ipo"] = "dpo"
    winner: float = 0.1
    save_every: int = 25
    held_out: str | None = None
    held_out_n: int = 4
    judges: str = ""
    stop_on: str | None = None
    encoders: str = "mulan:lab-mulan"
    real: Path | None = None
    samples: int = 16
    gradient_checkpointing: bool = False
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(
            self,
            "rounds",
            "steps",
            "held_out_n",
            "samples",
            "limit",
            "sampling_steps",
            "batch_size",
            "micro_batch_size",
            "lora_r",
            "save_every",
        )
        if self.n < 2:
            raise InputError(f"--n must be at least 2, as clips of a prompt are compared, got {self.n}")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--seconds must be above 0, got {self.seconds}")
        if (self.judges or self.stop_on) and not self.held_out:
            raise InputError("--judges and --stop_on are for held-out prompts: give --held_out too")
        if self.silence_cost < 0:
            raise InputError(f"--silence_cost must be at least 0, got {self.silence_cost}")
        if self.algorithm in ONLINE and self.batch_size % self.n:
            raise InputError(
                f"--batch_size {self.batch_size} must be a multiple of --n {self.n}: whole groups"
            )

    def optimisation(self) -> Optimisation:
        """Return how weights are learned."""
        return Optimisation(
            self.steps,
            self.learning_rate,
            self.batch_size,
            self.micro_batch_size,
            self.lora_r,
            self.save_every,
            self.gradient_checkpointing,
            self.dtype == "bfloat16",
            self.seed,
            self.tracker,
        )

    def beta_or(self, usual: Mapping[str, float]) -> float:
        """Return beta, or what is usual for the algorithm; 0 for one that has none."""
        return usual.get(self.algorithm, 0.0) if self.beta is None else self.beta
