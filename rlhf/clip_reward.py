"""The reward of clips that were just made, by any scorer."""

from __future__ import annotations

from collections.abc import Sequence

from generators.protocol import Sample
from reward import Reward, Scorer, ScoreRequest
from reward.clips_in_memory import score_clips

REWARD = "reward"


class ClipReward:
    """A weighted sum of a scorer's metrics, for clips in memory.

    Parameters
    ----------
    scorer
        The judge; one that takes no clips is handed files.
    reward
        What its metrics make.

    Raises
    ------
    InputError
        If the scorer lacks a metric of the reward.
    """

    def __init__(self, scorer: Scorer, reward: Reward) -> None:
        reward.check(tuple(scorer.metrics))
        self._scorer, self._reward = scorer, reward

    def __call__(self, samples: Sequence[Sample]) -> list[dict[str, float]]:
        """Return the metrics of each clip and their weighted sum, as ``reward``.

        Raises
        ------
        InputError
            If a clip cannot be scored.
        """
        requests = [ScoreRequest(sample.clip, sample.job.prompt) for sample in samples]
        found = score_clips(self._scorer, requests)
        return [{**scores, REWARD: self._reward(scores)} for scores in found]
