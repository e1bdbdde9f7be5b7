"""Scorers of a job, and what they say of all candidates."""

from collections.abc import Sequence

import numpy as np

from music.errors import InputError
from music.pool import Candidate, Pool
from music.processes import Processes
from reward import Reward, Scorer, load_scorer, score_pool
from scaling.estimators import Array


def split_names(names: str) -> list[str]:
    """Return the names in a text with commas between."""
    return [name.strip() for name in names.split(",") if name.strip()]


def load_scorers(reward_model: str, judges: str, reward: Reward, device: str, dtype: str) -> list[Scorer]:
    """Load the reward model, then the judges.

    Raises
    ------
    InputError
        If the reward model lacks a metric of the reward, or two scorers have a metric of the same name.
    """
    scorers = [load_scorer(name, device, dtype) for name in [reward_model, *split_names(judges)]]
    reward.check(tuple(scorers[0].metrics))
    owners = {"reward": "the weighted sum"}
    for scorer in scorers:
        for metric in scorer.metrics:
            if metric in owners:
                raise InputError(f"{scorer.name} and {owners[metric]} both call a metric {metric!r}")
            owners[metric] = scorer.name
    return scorers


def score_candidates(
    scorers: Sequence[Scorer], pool: Pool, candidates: Sequence[Sequence[Candidate]], processes: Processes
) -> dict[str, Array]:
    """Return each metric of each candidate, `[P, N]`, scoring what is not scored yet."""
    flat = [candidate for row in candidates for candidate in row]
    pool.verify(processes.shard(flat))
    metrics: dict[str, Array] = {}
    for scorer in scorers:
        values = score_pool(pool, scorer, flat, processes).table(flat)
        for metric in scorer.metrics:
            column = np.array([scores[metric] for scores in values])
            metrics[metric] = column.reshape(len(candidates), -1)
    return metrics
