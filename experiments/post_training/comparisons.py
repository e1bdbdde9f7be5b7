"""What is compared: for each generator the algorithms, with their options of rlhf/train.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Options = Mapping[str, object]
GOLD = "experiments.lab.gold:Gold"


@dataclass(frozen=True)
class Comparison:
    """A generator, and algorithms that each generate as many clips.

    Attributes
    ----------
    arms
        Options of rlhf/train.py, by algorithm.
    generator
        Generator that all begin with.
    limit, n, rounds
        Number of prompts to train on, of clips for each in a round, and of rounds; grpo's steps make as many clips.
    sampling
        Options of how clips are made, in training and in assessment.
    reward, weights
        Reward to train on. Among the clips that a lab generator makes for a prompt, its musicality spreads further than
        its alignment; with these weights both count.
    judges
        Judges, whose metrics decide.
    prompts, held_out
        Prompts to train on, and to assess with.
    held_out_limit
        Number of held-out prompts to take from the beginning.
    """

    arms: Mapping[str, Options]
    generator: str
    limit: int
    n: int
    rounds: int = 2
    sampling: Options = field(default_factory=dict)
    reward: str = "lab-cmi-rm"
    weights: str = "musicality=0.25,alignment=0.75"
    judges: str = GOLD
    prompts: str = "lab-train"
    held_out: str = "lab-held-out"
    held_out_limit: int = 128

    @property
    def clips(self) -> int:
        """How many clips an arm generates."""
        return self.limit * self.n * self.rounds

    @property
    def best_of(self) -> int:
        """Among how many clips of a held-out prompt best of n picks, so that it generates as many."""
        return self.clips // self.held_out_limit

    def training(self, arm: str) -> dict[str, object]:
        """Return the options of rlhf/train.py of an arm."""
        shared = {"generator": self.generator, "prompts": self.prompts}
        judged = {"reward": self.reward, "weights": self.weights}
        counted = {"limit": self.limit, "n": self.n, "rounds": self.rounds}
        return {"algorithm": arm, **shared, **judged, **counted, **self.sampling, **self.arms[arm]}

    def assessment(self) -> dict[str, object]:
        """Return the options of rlhf.assess."""
        assessed = {"base": self.generator, "judges": self.judges, "prompts": self.held_out}
        judged = {"reward": self.reward, "weights": self.weights}
        counted = {"limit": self.held_out_limit, "n": self.best_of, "best_of": f"1,{self.best_of}"}
        return {**assessed, **judged, **counted, **self.sampling}


COMPARISONS = {
    "musicgen": Comparison(
        {
            "expert_iteration": {"steps": 32, "learning_rate": 1e-3},
            "dpo": {"steps": 32, "learning_rate": 5e-4},
            "grpo": {"steps": 32, "batch_size": 32, "learning_rate": 4e-3},
        },
        "lab-musicgen",
        limit=128,
        n=8,
    ),
    "stable_audio": Comparison(
        {
            "expert_iteration": {"steps": 16},  # eight passes over the winners, as of MusicGen
            "dpo": {"steps": 60},
            "nft": {"steps": 60},
        },
        "lab-stable-audio",
        limit=64,
        n=4,
        sampling={"sampling_steps": 20},
    ),
}
