"""The level of clips: what is far above full scale is told, and any scorer may judge at one level.

Sound lies in [-1, 1] by convention, but files of floating-point numbers may hold anything: integers that nobody has
divided, or a mix that nobody has turned down. A reward model has never heard such sound, and may like it best.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from music.clips import Clip, read_clip, read_header
from music.errors import InputError
from music.hashing import canonical_json, sha256_text
from music.prompts import Prompt
from reward.protocol import Scorer, ScoreRequest, features_of, hearings_of
from reward.scoring.in_memory import score_clips

_LOUDEST = 2.0  # peak; decoders of lossy formats go beyond 1, but hardly so far
_FAINTEST = -100.0  # dBFS; what is fainter is not made louder


def check_level(level: float | None) -> None:
    """`InputError` unless a level that clips are brought to lies between -100 and 0 dBFS, or is None."""
    if level is not None and not _FAINTEST <= level <= 0:
        raise InputError(f"--level must lie between -100 and 0 dBFS, got {level}")


def level_of(waveform: torch.Tensor) -> float:
    """Return the root mean square of a waveform, dBFS; -inf of silence."""
    return float(10 * waveform.double().square().mean().log10())


def at_level(clip: Clip, level: float) -> Clip:
    """Return a clip whose root mean square is `level`, dBFS; one of less than -100 dBFS becomes as much louder."""
    gain = level - max(level_of(clip.waveform), _FAINTEST)
    return Clip(clip.waveform * 10 ** (gain / 20), clip.sample_rate)


def levelled(clip: Clip, level: float) -> str:
    """Return what `at_level` does to a clip; an empty text of silence."""
    found = level_of(clip.waveform)
    if found < _FAINTEST:
        return f"made {level - _FAINTEST:g} dB louder" if found > -math.inf else ""
    return f"brought from {found:.1f} to {level:g} dBFS"


def too_loud(audio: Path | Clip, seconds: float | None = None, level: float | None = None) -> str:
    """Return what is to be said of audio far above full scale; an empty text of any other.

    Parameters
    ----------
    audio
        A clip, or a file, which is read only if it holds floating-point numbers.
    seconds
        Length of its beginning that is heard.
    level
        Level that it is brought to, dBFS; None if it is judged as it is.
    """
    try:
        if isinstance(audio, Path):
            if not read_header(audio).floats:
                return ""
            audio = read_clip(audio, seconds)
    except InputError:
        return ""  # which the scorer tells
    peak = float(audio.waveform.abs().max()) if audio.samples else 0.0
    if peak <= _LOUDEST:
        return ""
    told = f"its peak is {peak:.6g} times full scale"
    if level is not None:
        return f"{told}: it was judged at {level:g} dBFS"
    return f"{told}: no scorer was made for such sound; divide it by its peak, or judge at one level (--level -20)"


class AtLevel(Scorer):
    """Another scorer's metrics of clips that are brought to one level.

    Parameters
    ----------
    scorer
        The judge.
    level
        Root mean square that clips are brought to, dBFS.
    """

    takes_clips = True

    def __init__(self, scorer: Scorer, level: float) -> None:
        self._scorer, self.level = scorer, level
        self.name, self.metrics = f"levelled-{scorer.name}", scorer.metrics
        self.higher_is_better, self.batch_size = scorer.higher_is_better, scorer.batch_size
        self.max_seconds, self.features = scorer.max_seconds, features_of(scorer)
        self.hears = hearings_of(scorer)
        self.hash = sha256_text(canonical_json({"level": level, "scorer": scorer.hash}))

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt that the judge refuses; see `reward.protocol.Scorer`."""
        self._scorer.check_prompt(prompt)

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the metrics of each request; see `reward.protocol.Scorer`."""
        return score_clips(self._scorer, [replace(one, audio=self._levelled(one.audio)) for one in requests])

    def _levelled(self, audio: Path | Clip) -> Clip:
        clip = read_clip(audio, self.max_seconds) if isinstance(audio, Path) else audio
        return at_level(clip, self.level)
