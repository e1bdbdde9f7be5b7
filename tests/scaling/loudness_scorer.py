"""Scorers that are cheap and have something to say: by ``--reward tests.scaling.loudness_scorer:...``."""

import os
from collections.abc import Sequence

from music.clips import read_clip
from music.errors import InputError
from music.prompts import Prompt
from reward.protocol import ScoreRequest


class LoudnessScorer:
    """Two metrics named like those of the default reward."""

    name = "loudness"
    metrics = ("musicality", "alignment")
    hash = "loudness-1"

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return level and roughness; note each call in the file that ``SCORED`` names."""
        scores = []
        for request in requests:
            wave = read_clip(request.audio).waveform
            roughness = wave.diff(dim=1).abs().mean()
            scores.append({"musicality": float(wave.square().mean().sqrt()), "alignment": float(-roughness)})
        if place := os.environ.get("SCORED"):
            with open(place, "a") as file:
                file.write("scored\n" * len(requests))
        return scores


class GoldScorer(LoudnessScorer):
    """A judge with a metric of its own."""

    name = "gold"
    metrics = ("peak",)
    hash = "gold-1"

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the peak."""
        return [{"peak": float(read_clip(request.audio).waveform.abs().max())} for request in requests]


class LyricsScorer(LoudnessScorer):
    """A judge of prompts with lyrics."""

    name = "lyrics"
    metrics = ("sung",)
    hash = "lyrics-1"

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the power."""
        if not all(request.prompt.lyrics for request in requests):
            raise InputError("there are no lyrics")
        return [{"sung": float(read_clip(one.audio).waveform.square().mean())} for one in requests]


class ConstantScorer(LoudnessScorer):
    """Finds everything equal."""

    name = "constant"
    hash = "constant-1"

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the same for all."""
        return [{"musicality": 1.0, "alignment": 2.0} for _ in requests]


class NeedsFacts(LoudnessScorer):
    """A judge of prompts with facts, which are checked ahead."""

    name = "needy"
    metrics = ("asked",)

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt without facts."""
        if not prompt.facts:
            raise InputError("there are no facts")
