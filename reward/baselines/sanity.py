"""Judges that know nothing of music: where they do well, a benchmark or reranker measures something else."""

import math
from collections.abc import Sequence
from pathlib import Path

from music.clips import read_clip
from music.hashing import canonical_json, sha256_text
from reward.protocol import Scorer, ScoreRequest

_QUIETEST = -120.0  # dBFS


class Constant(Scorer):
    """0 for everything: exactly half of all pairs."""

    name = "constant"
    metrics = ("constant",)
    hash = sha256_text("constant 0")
    takes_clips = True

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return 0 for each request."""
        return [{"constant": 0.0} for _ in requests]


class Loudness(Scorer):
    """The level of a clip: its mean square over samples and channels, in dBFS; silence is -120."""

    name = "loudness"
    metrics = ("loudness",)
    hash = sha256_text(canonical_json({"level": "mean square, dBFS", "quietest": _QUIETEST}))
    takes_clips = True

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the level of each request."""
        return [{"loudness": self._level(request)} for request in requests]

    @staticmethod
    def _level(request: ScoreRequest) -> float:
        clip = read_clip(request.audio) if isinstance(request.audio, Path) else request.audio
        power = float(clip.waveform.double().square().mean()) if clip.waveform.numel() else 0.0
        return max(_QUIETEST, 10 * math.log10(power)) if power > 0 else _QUIETEST
