"""The reward: one number made of named metrics."""

import functools
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from music.errors import InputError
from music.intervals import Array

Scores = TypeVar("Scores", float, Array)

_LARGEST = 1e30  # beyond it sums and drawings of rewards overflow


@dataclass(frozen=True)
class RewardWeights:
    """A weighted sum of metrics, by default 0.5 musicality + 0.5 alignment (as in the paper's best of N).

    Attributes
    ----------
    weights
        The weight of each metric by name; a negative weight punishes.
    """

    weights: Mapping[str, float] = field(
        default_factory=lambda: {"musicality": 0.5, "alignment": 0.5}, hash=False
    )

    def __post_init__(self) -> None:
        """`InputError` for no metric, or weights that are not finite or all zero."""
        if not self.weights or not any(self.weights.values()):
            raise InputError("a reward needs at least one metric with a weight other than 0")
        for name, weight in self.weights.items():
            if not math.isfinite(weight):
                raise InputError(f"the weight of metric {name!r} must be finite, got {weight}")
            if abs(weight) > _LARGEST:
                raise InputError(f"the weight of metric {name!r} must be at most {_LARGEST:g}, got {weight}")

    @classmethod
    def parse(cls, text: str) -> "RewardWeights":
        """Read ``musicality=0.5,alignment=0.5``; a bare name has weight 1.

        Raises
        ------
        InputError
            If a weight is not a number or a metric comes twice.
        """
        weights: dict[str, float] = {}
        for part in text.split(","):
            name, _, weight = (piece.strip() for piece in part.partition("="))
            if not name or name in weights:
                raise InputError(
                    f"reward {text!r}: expected each metric once, like musicality=0.5,alignment=0.5"
                )
            try:
                weights[name] = float(weight or 1)
            except ValueError as error:
                raise InputError(
                    f"reward {text!r}: the weight of {name} must be a number, got {weight!r}"
                ) from error
        return cls(weights)

    @property
    def name(self) -> str:
        """The sum in words, as `parse` reads it."""
        return ",".join(f"{name}={weight:g}" for name, weight in self.weights.items())

    def check(self, metrics: tuple[str, ...]) -> None:
        """`InputError` if a scorer with these metrics cannot give this reward."""
        missing = [name for name in self.weights if name not in metrics]
        if missing:
            raise InputError(
                f"the reward needs the metric {missing[0]!r}; there are {', '.join(metrics) or 'none'}: say which "
                f"count, as in --weights {metrics[0] if metrics else 'NAME'}=1"
            )

    def __call__(self, scores: Mapping[str, Scores]) -> Scores:
        """Return the reward of scores by metric: of one clip, or arrays of any one shape.

        Raises
        ------
        InputError
            If a metric is missing, naming those that exist.
        """
        self.check(tuple(scores))
        first, *others = (weight * scores[name] for name, weight in self.weights.items())
        return functools.reduce(operator.add, others, first)
