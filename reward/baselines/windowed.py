"""A scorer that hears a clip in one of the ways that appendix F.2 of the paper (arXiv 2603.00610) compares.

    --reward first10:lab-cmi-rm     the first ten seconds
    --reward mean10:lab-cmi-rm      pieces of ten seconds, one after another, and the mean of their scores
    --reward first120:lab-cmi-rm    the first 120 s, as CMI-RM was trained

Pieces end at 120 s too. The last may be shorter than ten seconds; one of a second or less is left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from music.clips import Clip, read_clip
from music.hashing import canonical_json, sha256_text
from music.prompts import Prompt
from reward.protocol import Scorer, ScoreRequest, features_of, hearings_of
from reward.scoring.in_memory import score_clips

WINDOWS = ("first10", "mean10", "first120")
PIECE, LONGEST, SHORTEST = 10, 120, 1  # s


def spans(window: str, samples: int, sample_rate: int) -> list[slice]:
    """Return which samples of a clip are heard together; none of the slices is empty.

    Parameters
    ----------
    window
        One of `WINDOWS`.
    samples
        Number of samples of the clip, above 0.
    sample_rate
        Sample rate of the clip, Hz.
    """
    heard, size = min(samples, LONGEST * sample_rate), PIECE * sample_rate
    if window == "first120":
        return [slice(0, heard)]
    starts = range(0, max(1, heard - SHORTEST * sample_rate), size)
    pieces = [slice(start, min(start + size, heard)) for start in starts]
    return pieces[:1] if window == "first10" else pieces


class Windowed(Scorer):
    """Another scorer's metrics, for parts of a clip; a reference is heard as that scorer hears it.

    Parameters
    ----------
    scorer
        Any scorer; one that does not take clips is handed WAV files with the parts.
    window
        One of `WINDOWS`.
    """

    takes_clips = True

    def __init__(self, scorer: Scorer, window: str) -> None:
        self._scorer, self._window = scorer, window
        self.metrics, self.features = scorer.metrics, features_of(scorer)
        self.higher_is_better = scorer.higher_is_better
        self.name = f"{window}-{scorer.name}"
        self.max_seconds = float(PIECE if window == "first10" else LONGEST)
        self.hears = tuple(
            one.of_pieces(PIECE, LONGEST) if window == "mean10" else one.of_beginning(self.max_seconds)
            for one in hearings_of(scorer)
        )
        facts = {
            "window": window,
            "seconds": [PIECE, LONGEST, SHORTEST],
            "scorer": scorer.hash,
            "metrics": self.metrics,
        }
        self.hash = sha256_text(canonical_json(facts))

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt that the scorer refuses; see `reward.protocol.Scorer`."""
        self._scorer.check_prompt(prompt)

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the mean of each metric over the parts of each clip; see `reward.protocol.Scorer`."""
        parts = [self._parts(request) for request in requests]
        flat = [part for row in parts for part in row]
        found: list[dict[str, float]] = []
        for start in range(0, len(flat), len(requests)):  # never more at a time than the caller chose
            found += score_clips(self._scorer, flat[start : start + len(requests)])
        scores = iter(found)
        return [self._mean([next(scores) for _ in row]) for row in parts]

    def _parts(self, request: ScoreRequest) -> list[ScoreRequest]:
        audio = request.audio
        clip = read_clip(audio, self.max_seconds) if isinstance(audio, Path) else audio
        return [
            replace(request, audio=Clip(clip.waveform[:, span], clip.sample_rate))
            for span in spans(self._window, clip.samples, clip.sample_rate)
        ]

    def _mean(self, scores: Sequence[dict[str, float]]) -> dict[str, float]:
        return {metric: fmean(one[metric] for one in scores) for metric in self.metrics}
