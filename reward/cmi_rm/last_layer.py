"""What the last layer of a CMI-RM is given for a clip, in which its scores are linear."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from music.errors import InputError
from music.intervals import Array
from reward.cmi_rm.ensemble import HeadEnsemble
from reward.cmi_rm.head import RewardHead
from reward.cmi_rm.scorer import CMIRMScorer
from reward.protocol import Scorer, ScoreRequest


@dataclass(frozen=True, eq=False)
class LastLayer:
    """Clips as the last layers of K heads hear them.

    Attributes
    ----------
    features
        Inputs of the last layer `[C, D]` of C clips; those of several heads stand side by side.
    scores
        Scores of each head `[K, C, 2]`, columns alignment and musicality.
    """

    features: Array
    scores: Array


def heads_of(scorer: Scorer) -> list[RewardHead]:
    """Return the heads of a CMI-RM or of an ensemble of them; none of another scorer."""
    if isinstance(scorer, HeadEnsemble):
        return list(scorer.heads)
    return [scorer.head] if isinstance(scorer, CMIRMScorer) else []


@torch.no_grad()
def last_layer(scorer: Scorer, requests: Sequence[ScoreRequest]) -> LastLayer:
    """Return what the last layers of a CMI-RM are given for clips.

    Raises
    ------
    InputError
        If the scorer is another model, or a request cannot be scored.
    """
    heads = heads_of(scorer)
    if not heads:
        raise InputError(f"{scorer.name} is no CMI-RM, whose last layer is needed: name another reward")
    with _caught(heads) as inputs:
        scorer.score(requests)
    of_heads = [torch.cat(found) for found in inputs]
    scores = [
        head.scores(head.score_projector[-1](found)) for head, found in zip(heads, of_heads, strict=True)
    ]
    return LastLayer(
        torch.cat(of_heads, dim=1).double().cpu().numpy(), np.stack([one.double().cpu() for one in scores])
    )


@contextmanager
def _caught(heads: Sequence[RewardHead]) -> Iterator[list[list[torch.Tensor]]]:
    """Yield for each head a list that gets the inputs of its last layer, clip by clip."""
    inputs: list[list[torch.Tensor]] = [[] for _ in heads]

    def catching(found: list[torch.Tensor]):
        return lambda _, given: found.append(given[0].float())

    hooks = [
        head.score_projector[-1].register_forward_pre_hook(catching(found))
        for head, found in zip(heads, inputs, strict=True)
    ]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()
