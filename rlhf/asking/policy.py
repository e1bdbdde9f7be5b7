"""The generator of a loop learns too: after each round from the reward of that round, by `rlhf.train`.

In the folder of a round lie beside the rest

    policy/         the training, with the generator as it leaves it (`policy/model`)
    held_out/pool   its clips for the held-out prompts, with the noise of the first generator's
    policy.json     what was measured of them; the training is done
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from music.durable import write_text
from music.errors import InputError
from music.hashing import candidate_seed
from music.jsonl import dump_line
from music.options import Sampling, read_options
from music.paths import is_file
from reward import Scorer
from rlhf import train
from rlhf.asking.measuring import HeldOut
from rlhf.asking.options import RewardLoop
from rlhf.models import copy_folder
from rlhf.options import PostTraining
from rlhf.rounds import MODEL

POLICY, MEASURED = "policy", "policy.json"
_OF_LOOP = ("prompts", "limit", "seconds", "weights", "reward_options", "device")
_SET_HERE = (*_OF_LOOP, "generator", "reward", "output", "seed", "held_out", "judges")


def model_of(options: RewardLoop, index: int) -> Path:
    """Return the folder of the generator that a round leaves."""
    return options.place(index) / POLICY / MODEL


def training(options: RewardLoop, reward: str, index: int) -> PostTraining:
    """Return the options by which the generator learns from a round's reward.

    Raises
    ------
    InputError
        If `policy` holds something that post-training does not take, or that the loop decides.
    """
    own = read_options(options.policy)
    known = {one.name for one in fields(PostTraining)}
    if wrong := [name for name in own if name not in known or name in _SET_HERE]:
        raise InputError(f"--policy {wrong[0]}: is no option of post-training, or the loop decides it")
    shared = (*_OF_LOOP, *(one.name for one in fields(Sampling)))
    return PostTraining(
        **{
            "rounds": 1,
            **{name: getattr(options, name) for name in shared},
            **own,
            "generator": str(model_of(options, index - 1)) if index else options.generator,
            "reward": reward,
            "seed": candidate_seed(options.seed, POLICY, index),
            "output": options.place(index) / POLICY,
        }
    )


@dataclass(frozen=True, eq=False)
class Policy:
    """Trains the generator, and measures what it has become.

    Attributes
    ----------
    options
        Options of the run.
    held_out
        The first generator on held-out prompts, if there are any.
    measuring
        What returns the generator that a round has left on held-out prompts.
    """

    options: RewardLoop
    held_out: HeldOut | None
    measuring: Callable[[int], HeldOut]

    def follow(self, index: int, reward: str, scorer: Callable[[], Scorer]) -> None:
        """Let the generator learn from the reward of a round; what is done is not done again.

        Parameters
        ----------
        index
            Which round it is.
        reward
            Name of its reward, for `load_scorer`.
        scorer
            What loads it.
        """
        place = self.options.place(index)
        if is_file(place / MEASURED):
            return
        train.main(training(self.options, reward, index))
        copy_folder(model_of(self.options, index), self.options.output / POLICY)
        found: dict[str, Any] = {}
        if self.held_out is not None:
            now = self.measuring(index)
            found = now.measure(scorer())
            found["since_first"] = now.change_from(self.held_out)
        write_text(place / MEASURED, dump_line(found))
