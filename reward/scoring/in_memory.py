"""Any scorer for clips in memory, even one that only takes files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import soundfile

from music.clips import Clip
from reward.protocol import Scorer, ScoreRequest, scores_of


def score_clips(scorer: Scorer, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
    """Return the scores of requests, whose clips become WAV files for a scorer that does not take them."""
    if scorer.takes_clips:
        return scores_of(scorer, requests)
    with TemporaryDirectory() as folder:
        handed = []
        for number, request in enumerate(requests):
            if isinstance(request.audio, Clip):
                path = Path(folder) / f"{number}.wav"
                wave = request.audio.waveform.T.numpy()
                soundfile.write(path, wave, request.audio.sample_rate, subtype="FLOAT")  # exact
                request = replace(request, audio=path)
            handed.append(request)
        return scores_of(scorer, handed)
