"""Scorers that say how their scores rise: an optional capability beside `reward.protocol.Scorer`."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch

from music.errors import InputError
from reward.protocol import Scorer, ScoreRequest


@runtime_checkable
class DifferentiableScorer(Protocol):
    """A scorer whose scores have a gradient in the audio."""

    def measure(self, request: ScoreRequest) -> Mapping[str, torch.Tensor]:
        """Return what `Scorer.score` gives for a request, up to rounding; gradients reach the waveform of its clip.

        Returns
        -------
        mapping of str to torch.Tensor
            Each metric, a number without dimensions.

        Raises
        ------
        InputError
            If the request cannot be scored.
        """
        ...


def differentiable(scorer: Scorer) -> DifferentiableScorer:
    """Return a scorer as one whose scores have a gradient.

    Raises
    ------
    InputError
        If they have none.
    """
    if not isinstance(scorer, DifferentiableScorer):
        raise InputError(
            f"{scorer.name} gives scores without a gradient in the audio: choose one CMI-RM alone as --reward"
        )
    return scorer
