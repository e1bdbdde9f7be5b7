"""MusicGen learns from clips that it makes as it learns: GRPO (arXiv 2402.03300) and RLOO (arXiv 2402.14740).

In each step every prompt of a batch gets a group of clips. Their advantage is their reward against that of their group;
codes of clips above it become likelier. A penalty on the divergence from the model before holds it back: of GRPO for
each code (the estimator k3 of Schulman, exp(r - p) - (r - p) - 1), of RLOO for the mean over a clip's codes, within the
reward.

Clips come from the project's own sampler with the weights of the moment, each from a stream of noise of its own that
depends on prompt, turn and place in the group: not on the process, nor on a kill. It draws from all codes, so that they
have the probability that the policy computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generators.musicgen.generator import MusicGen
from generators.protocol import Job, Sample
from music.hashing import candidate_seed
from music.prompts import Prompt
from rlhf.choosing import turns_of
from rlhf.guarded_reward import REWARD, ClipReward
from rlhf.musicgen.policy import flat_codes
from rlhf.musicgen.trl_settings import TrlRun, updated_weights
from rlhf.streams import Purpose, stream


@dataclass(frozen=True)
class Exploration:
    """How clips are made and judged.

    Attributes
    ----------
    algorithm
        Algorithm: grpo or rloo.
    group_size
        Number of clips for a prompt in a step.
    seconds
        Length of each clip, s.
    beta
        Cost of a nat of divergence, of the mean over a clip's codes.
    seed
        Seed of all noise.
    """

    algorithm: str = "grpo"
    group_size: int = 8
    seconds: float = 5.0
    beta: float = 0.02
    seed: int = 0


class Rollouts:
    """Clips of a policy as it is now.

    Parameters
    ----------
    sampler
        The same model, which draws from all codes (`top_k` 0).
    turns
        Prompts in the order of `turns_of`.
    exploration
        How clips are made.
    """

    def __init__(self, sampler: MusicGen, turns: Sequence[Prompt], exploration: Exploration) -> None:
        self._sampler, self._turns, self._exploration = sampler, turns, exploration

    def make(self, policy: Any, turns: Sequence[int], first: int) -> list[Sample]:
        """Return a clip for each turn.

        Parameters
        ----------
        policy
            A `MusicgenPolicy` with an update of peft.
        turns
            Numbers of turns, each as often as a group has clips, one after the other.
        first
            Place of the first of them among those of all processes.
        """
        size, seed = self._exploration.group_size, self._exploration.seed
        jobs = []
        for place, turn in enumerate(turns, start=first):
            prompt, candidate = self._turns[turn], turn * size + place % size
            jobs.append(Job(prompt, candidate, candidate_seed(seed, prompt.id, candidate)))
        self._sampler.change_decoder(updated_weights(policy.musicgen.decoder))
        made = {
            sample.job.candidate: sample for sample in self._sampler.generate(jobs, self._exploration.seconds)
        }
        return [made[job.candidate] for job in jobs]


def explore(
    run: TrlRun,
    sampler: MusicGen,
    prompts: Sequence[Prompt],
    clip_reward: ClipReward,
    exploration: Exploration,
) -> Any:
    """Raise the reward of the clips that the policy makes, and return the `peft.PeftModel`.

    Parameters
    ----------
    run
        What learns, and how; a batch is a number of whole groups.
    sampler
        The same model again, for rollouts.
    prompts
        Prompts that clips are made for.
    clip_reward
        What judges them.
    exploration
        How they are made.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    # all turns are planned ahead: TRL's own order begins anew where a killed run goes on
    clips = run.optimisation.steps * run.optimisation.batch_size
    order = stream(exploration.seed, Purpose.ORDER)
    turns = turns_of(prompts, clips // exploration.group_size, order)
    rollouts = Rollouts(sampler, turns, exploration)

    def roll_out(trainer: Any, rows: Sequence[str]) -> tuple[list[list[int]], list[list[int]], list[Sample]]:
        """Return text ids, codes and clips."""
        own = trainer.accelerator.unwrap_model(trainer.model).get_base_model()
        first = trainer.accelerator.process_index * len(rows)
        samples = rollouts.make(own, [int(turn) for turn in rows], first)
        texts = [run.tokenizer(sample.job.prompt.text)["input_ids"] for sample in samples]
        codes = [flat_codes(sample.tokens.long()) for sample in samples if sample.tokens is not None]
        return texts, codes, samples

    class GRPO(GRPOTrainer):
        def _generate(self, prompts: list[str]) -> tuple[Any, ...]:
            texts, codes, samples = roll_out(self, prompts)
            return texts, codes, None, samples, None, {}, None, []

    class RLOO(RLOOTrainer):
        def _generate(self, prompts: list[str]) -> tuple[Any, ...]:
            return roll_out(self, prompts)

    classes: dict[str, tuple[Any, Any]] = {"grpo": (GRPOConfig, GRPO), "rloo": (RLOOConfig, RLOO)}

    def judge(completions: Sequence[Sample], log_metric: Any, **_: Any) -> list[float | None]:
        scored = clip_reward(completions)
        for name in scored[0]:
            log_metric(f"metrics/{name}", sum(one[name] for one in scored) / len(scored))
        return [one[REWARD] for one in scored]

    config, trainer = classes[exploration.algorithm]
    # RLOO's divergence is a sum over the codes
    counted = sampler.blank_tokens(exploration.seconds).numel() if exploration.algorithm == "rloo" else 1
    settings = config(
        **run.arguments(),
        num_generations=exploration.group_size,
        beta=exploration.beta / counted,
        temperature=run.policy.temperature,
        shuffle_dataset=False,
        disable_dropout=True,
    )
    rows = Dataset.from_dict({"prompt": [str(turn) for turn in range(len(turns))]})
    return run.train(trainer, settings, rows, reward_funcs=[judge])
