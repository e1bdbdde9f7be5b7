"""Scores of prompts that have different numbers of candidates."""

from collections.abc import Sequence

import numpy as np

from music.intervals import Array
from music.pool import Candidate, Pool
from music.processes import Processes
from reward import RewardWeights, Scorer
from reward.scoring.candidates import score_candidates


def by_prompt(
    scorers: Sequence[Scorer],
    reward: RewardWeights,
    pool: Pool,
    candidates: Sequence[Sequence[Candidate]],
    processes: Processes,
) -> tuple[dict[str, list[Array]], RewardWeights]:
    """Score candidates, and return their metrics, and the reward on their scale.

    Parameters
    ----------
    scorers
        The reward model, then the judges.
    reward
        Weights of the reward.
    pool
        Pool with the candidates.
    candidates
        Candidates of each prompt, one or more.
    processes
        Processes that share the work.

    Returns
    -------
    dict of str to list of Array
        Each metric by its name in tables: for each prompt, those of its candidates.
    RewardWeights
        The reward; one that is standardised, on the scale of all these candidates.

    Raises
    ------
    InputError
        If a candidate was changed or cannot be scored.
    """
    flat = score_candidates(scorers, pool, [[one] for row in candidates for one in row], processes)
    ends = np.cumsum([len(row) for row in candidates])[:-1]
    metrics = {name: np.split(values[:, 0], ends) for name, values in flat.items()}
    return metrics, reward.on(flat)
