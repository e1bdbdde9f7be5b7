"""MusicGen learns from candidates of a pool: to imitate the best of them, or to prefer the best to the worst.

- `imitate` (expert iteration, RAFT, arXiv 2304.06767): the mean log-probability of the best clips' codes rises.
- `prefer` (DPO or IPO, `rlhf.preferring`): the mean log-probability of the best clip's codes rises over that of the
  worst, both relative to the model before.

Codes come from the pool, as they were sampled; nothing is encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlhf.musicgen.policy import IGNORED, flat_codes
from rlhf.musicgen.trl_settings import TrlRun
from rlhf.preferring import pull_at_start

# what TRL calls them, of means over the codes of a clip: its "sigmoid" is of sums, so that beta would count for more in
# longer clips
_LOSSES = {"dpo": "sigmoid_norm", "ipo": "ipo"}


@dataclass(frozen=True)
class Preference:
    """How one clip is preferred to another.

    Attributes
    ----------
    loss
        Loss: dpo or ipo.
    beta
        Cost of leaving the model before, of the mean over a clip's codes.
    winner
        Weight of the winner's own likelihood, against the pull of the preference at the start.
    """

    loss: str = "dpo"
    beta: float = 50.0
    winner: float = 0.1


def imitate(run: TrlRun, examples: Sequence[tuple[str, torch.Tensor]]) -> Any:
    """Raise the likelihood of clips, given as texts and codes `[K, T]`, and return the `peft.PeftModel`."""
    from trl import SFTConfig, SFTTrainer

    rows = []
    for text, codes in examples:
        ids, flat = run.tokenizer(text)["input_ids"], flat_codes(codes)
        rows.append({"input_ids": [*ids, *flat], "labels": [IGNORED] * len(ids) + flat})
    settings = SFTConfig(**run.arguments(), max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
    return run.train(SFTTrainer, settings, run.planned(rows))


def prefer(
    run: TrlRun, pairs: Sequence[tuple[str, torch.Tensor, torch.Tensor]], preference: Preference
) -> Any:
    """Raise the likelihood of clips over that of others, and return the `peft.PeftModel`.

    Parameters
    ----------
    run
        What learns, and how.
    pairs
        Texts, codes of the winners and codes of the losers, `[K, T]` each.
    preference
        How winners are preferred.
    """
    from trl import DPOConfig, DPOTrainer

    class Trainer(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:  # rows hold codes already, not text
            return dataset

    rows = [
        {
            "prompt_ids": run.tokenizer(text)["input_ids"],
            "chosen_ids": flat_codes(winner),
            "rejected_ids": flat_codes(loser),
        }
        for text, winner, loser in pairs
    ]
    weights = {_LOSSES[preference.loss]: 1.0}
    if preference.winner:
        weights["sft"] = preference.winner * pull_at_start(preference.loss, preference.beta)
    settings = DPOConfig(
        **run.arguments(),
        max_length=None,
        beta=preference.beta,
        loss_type=list(weights),
        loss_weights=list(weights.values()),
        disable_dropout=True,
    )
    return run.train(Trainer, settings, run.planned(rows))
