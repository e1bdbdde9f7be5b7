"""The reward of clips that were just made, by any scorer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from generators.protocol import Sample
from music.clips import write_clip
from reward import Reward, Scorer, ScoreRequest

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
        if getattr(self._scorer, "takes_clips", False):
            found = self._scorer.score([ScoreRequest(one.clip, one.job.prompt) for one in samples])
        else:
            with tempfile.TemporaryDirectory() as folder:
                requests = []
                for index, one in enumerate(samples):
                    path = Path(folder) / f"{index}.flac"
                    write_clip(path, one.clip)
                    requests.append(ScoreRequest(path, one.job.prompt))
                found = self._scorer.score(requests)
        return [{**scores, REWARD: self._reward(scores)} for scores in found]
