"""Any scorer for clips in memory, even one that only takes files."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import soundfile

from music.clips import Clip
from music.durable import writing
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
                sound = io.BytesIO()  # so that a full disk is an OSError with a reason
                soundfile.write(
                    sound, wave, request.audio.sample_rate, format="WAV", subtype="FLOAT"
                )  # exact
                with writing(path):
                    path.write_bytes(sound.getvalue())
                request = replace(request, audio=path)
            handed.append(request)
        return scores_of(scorer, handed)
