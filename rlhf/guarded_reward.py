"""The reward of clips, from any scorer, which cannot be raised by loudness or by silence.

What a reward model was not trained to tell apart, a generator finds: louder clips may score higher, and so may clips
that say nothing. `Guarded` brings every clip to one level before it is judged, and each second of silence costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from generators.protocol import Sample
from music.clips import Clip, read_clip
from music.hashing import canonical_json, sha256_text
from music.prompts import Prompt
from reward import RewardWeights
from reward.protocol import Scorer, ScoreRequest, features_of, hearings_of
from reward.scoring.in_memory import score_clips
from reward.scoring.level import at_level

REWARD = "reward"
_ARITHMETIC = 1  # part of the hash: raise it with any change of the code that moves scores
_FRAME = 0.05  # s
QUIET = -60.0  # dBFS; a frame below it is silent


class Guarded(Scorer):
    """Another scorer's metrics of a clip at one level, less what its silence costs.

    Parameters
    ----------
    scorer
        The judge.
    level
        Root mean square that clips are brought to, dBFS; None leaves them as they are.
    silence_cost
        Cost, subtracted from each metric, of a clip that is silent throughout; in proportion for others.
    """

    takes_clips = True

    def __init__(self, scorer: Scorer, level: float | None = -20.0, silence_cost: float = 1.0) -> None:
        self._scorer, self._level, self._cost = scorer, level, silence_cost
        self.higher_is_better = scorer.higher_is_better
        self.metrics, self.name = scorer.metrics, f"guarded-{scorer.name}"
        self.max_seconds, self.features = scorer.max_seconds, features_of(scorer)
        self.hears = hearings_of(scorer)
        facts = {"arithmetic": _ARITHMETIC, "level": level, "silence": silence_cost, "scorer": scorer.hash}
        self.hash = sha256_text(canonical_json(facts))

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt that the judge refuses; see `reward.protocol.Scorer`."""
        self._scorer.check_prompt(prompt)

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the metrics of each request; see `reward.protocol.Scorer`."""
        clips = [self._clip(request) for request in requests]
        levelled = [
            replace(one, audio=self._levelled(clip)) for one, clip in zip(requests, clips, strict=True)
        ]
        costs = [self._cost * silent_share(clip) for clip in clips]
        return [
            {name: value - cost for name, value in scores.items()}
            for scores, cost in zip(score_clips(self._scorer, levelled), costs, strict=True)
        ]

    def _clip(self, request: ScoreRequest) -> Clip:
        audio = request.audio
        return read_clip(audio, self.max_seconds) if isinstance(audio, Path) else audio

    def _levelled(self, clip: Clip) -> Clip:
        if self._level is None:
            return clip
        return at_level(clip, self._level)


class ClipReward:
    """A weighted sum of a scorer's metrics, for clips in memory.

    Parameters
    ----------
    scorer
        The judge; one that takes no clips is handed files.
    reward
        Weights of its metrics.

    Raises
    ------
    InputError
        If the scorer lacks a metric of the reward.
    """

    def __init__(self, scorer: Scorer, reward: RewardWeights) -> None:
        reward.check(tuple(scorer.metrics))
        self._scorer, self._reward = scorer, reward

    def on(self, samples: Sequence[Sample]) -> ClipReward:
        """Return the reward on the scale of some clips; it is the same one where nothing is standardised."""
        if not self._reward.standardise:
            return self
        found = score_clips(self._scorer, [ScoreRequest(one.clip, one.job.prompt) for one in samples])
        metrics = {name: np.array([one[name] for one in found]) for name in self._scorer.metrics}
        return ClipReward(self._scorer, self._reward.on(metrics))

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


def silent_share(clip: Clip) -> float:
    """Return the share of a clip's frames of 50 ms that are below `QUIET`; a shorter clip is one frame."""
    size = min(clip.samples, max(1, round(_FRAME * clip.sample_rate)))
    frames = clip.waveform.double().square().mean(dim=0).unfold(0, size, size).mean(dim=1)
    return float((frames < 10 ** (QUIET / 10)).float().mean())
