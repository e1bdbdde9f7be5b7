"""MusicGen learns from candidates of a pool: to imitate the best of them, or to prefer the best to the worst.

- `imitate` (expert iteration, RAFT, arXiv 2304.06767): the mean log-probability of the best clips' codes rises.
- `prefer` (DPO, arXiv 2305.18290, or IPO, arXiv 2310.12036): the log-probability of the best rises over that of the
  worst, both relative to the model before. DPO alone is content when both fall, the worst faster; a share of the
  likelihood of the best, as in `imitate`, holds it up.

Codes come from the pool, as they were sampled; nothing is encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rlhf.musicgen.policy import IGNORED, MusicgenPolicy, flat_codes
from rlhf.musicgen.trl_settings import arguments, train
from rlhf.options import Optimisation

LOSSES = ("dpo", "ipo")
_NAMES = {"dpo": "sigmoid", "ipo": "ipo"}  # of TRL


@dataclass(frozen=True)
class Preferring:
    """How one clip is preferred to another.

    Attributes
    ----------
    loss
        One of `LOSSES`.
    beta
        How dear it is to leave the model before: of dpo for the whole clip, of ipo for the mean of its codes.
    winner
        Weight of the winner's own likelihood.
    """

    loss: str = "dpo"
    beta: float = 0.1
    winner: float = 0.1


def imitate(
    policy: MusicgenPolicy,
    tokenizer: Any,
    examples: Sequence[tuple[str, torch.Tensor]],
    how: Optimisation,
    folder: Path,
    device: str,
    processes: int = 1,
) -> Any:
    """Raise the likelihood of clips.

    Parameters
    ----------
    policy
        Is changed.
    tokenizer
        Of its text encoder.
    examples
        Texts and codes `[K, T]`.
    how
        Of the optimiser.
    folder
        For checkpoints and log.
    device, processes
        Where, and how many share the work.

    Returns
    -------
    peft.PeftModel
        The policy with its update.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = []
    for text, codes in examples:
        ids, flat = tokenizer(text)["input_ids"], flat_codes(codes)
        rows.append({"input_ids": [*ids, *flat], "labels": [IGNORED] * len(ids) + flat})
    settings = SFTConfig(
        **arguments(how, folder, device, processes),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return train(SFTTrainer, policy, tokenizer, settings, Dataset.from_list(rows), how, folder)


def prefer(
    policy: MusicgenPolicy,
    tokenizer: Any,
    pairs: Sequence[tuple[str, torch.Tensor, torch.Tensor]],
    how: Optimisation,
    preferring: Preferring,
    folder: Path,
    device: str,
    processes: int = 1,
) -> Any:
    """Raise the likelihood of clips over that of others; `pairs` are texts, winners, losers, the rest as `imitate`."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class Trainer(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:  # rows hold codes already, not text
            return dataset

    rows = [
        {
            "prompt_ids": tokenizer(text)["input_ids"],
            "chosen_ids": flat_codes(winner),
            "rejected_ids": flat_codes(loser),
        }
        for text, winner, loser in pairs
    ]
    weights = {_NAMES[preferring.loss]: 1.0} | ({"sft": preferring.winner} if preferring.winner else {})
    settings = DPOConfig(
        **arguments(how, folder, device, processes),
        max_length=None,
        beta=preferring.beta,
        loss_type=list(weights),
        loss_weights=list(weights.values()),
        disable_dropout=True,
    )
    return train(Trainer, policy, tokenizer, settings, Dataset.from_list(rows), how, folder)
