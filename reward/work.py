"""What it costs a reward model to score a clip, counted on the very code that scores, without weights (`music.shapes`).

A prompt is worked on once for all clips that are scored under it, and counted for itself.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from music.clips import Clip
from music.errors import InputError
from music.options import read_options
from music.prompts import Prompt
from music.shapes import Cost, Shapes
from reward.cmi_rm.scorer import CMIRMScorer
from reward.protocol import Scorer, ScoreRequest
from reward.registry import SCORERS, load_scorer

_PUBLISHED = ("cmi-rm", "HaiwenXia/CMI-RM")


def load_scorer_shape(name: str, options: str | dict[str, Any] = "") -> CMIRMScorer:
    """Load a reward model without weights; within `music.shapes.Shapes` alone.

    Parameters
    ----------
    name
        Name of a CMI-RM, as for `reward.registry.load_scorer`; of a folder only configurations and tokenizers are read.
    options
        Further arguments, as for ``--reward_options``.

    Raises
    ------
    InputError
        If it cannot be found, or is of another kind: its work cannot be counted.
    """
    if name in _PUBLISHED:
        from reward.cmi_rm.sizes import shape_of_cmi_rm

        return shape_of_cmi_rm()
    scorer: Scorer | None = None
    if name in SCORERS or ":" not in name:
        scorer = load_scorer(name, "meta", "float32", **read_options(options))
    if not isinstance(scorer, CMIRMScorer):
        raise InputError(
            f"the work of the reward {name} cannot be counted: its shapes are known of a CMI-RM alone"
        )
    return scorer


class RewardWork:
    """The work of a reward model.

    Parameters
    ----------
    load
        Function that returns the scorer without weights.
    prompt
        What clips are scored under; a reference is not looked at.
    sample_rate, channels
        Sample rate of the clips, Hz, and number of their channels.

    Attributes
    ----------
    weights
        Bytes of its weights.
    prompt
        Cost of working on a prompt, once for all clips under it.
    """

    def __init__(
        self, load: Callable[[], CMIRMScorer], prompt: Prompt, sample_rate: int, channels: int
    ) -> None:
        self._shapes = Shapes()
        with self._shapes.running():
            self._scorer = load()
        self._prompt, self._rate, self._channels = prompt, sample_rate, channels
        self._made = 0
        self.weights = self._shapes.alive
        self.prompt = self._score(1.0, 1)[0]
        self.weights = self._shapes.alive
        self.prompt -= self.scoring(1.0)

    def scoring(self, seconds: float) -> Cost:
        """Return what it costs to score one clip of this length (s) under a prompt that is known."""
        return self._known(seconds, 1)[0]

    def peak(self, seconds: float, clips: int) -> int:
        """Return the bytes that are alive at once while so many clips are scored together, weights included."""
        return self._known(seconds, min(clips, self._scorer.batch_size))[1]

    @lru_cache(maxsize=64)  # noqa: B019 - as long as the work itself
    def _known(self, seconds: float, clips: int) -> tuple[Cost, int]:
        return self._score(seconds, clips)

    def _score(self, seconds: float, clips: int) -> tuple[Cost, int]:
        samples = round(seconds * self._rate)
        requests = []
        for _ in range(clips):
            self._made += 1  # other audio each time, so that none is remembered
            wave = torch.full((self._channels, samples), self._made * 1e-6)
            requests.append(ScoreRequest(Clip(wave, self._rate), self._prompt))
        _, cost, peak = self._shapes.measure(lambda: self._scorer.score(requests))
        return cost, peak
