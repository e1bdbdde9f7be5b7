"""The reward: one number made of named metrics, as they are or as z-scores.

Scorers have scales of their own: half of one that spreads over 0.1 and half of one that spreads over 10 is, in effect,
the second alone. Standardised, each metric counts by how many of its standard deviations a clip lies above the mean of
its pool, as in SCORE (arXiv 2509.19831).
"""

import functools
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from music.errors import InputError
from music.intervals import Array

Scores = TypeVar("Scores", float, Array)

_LARGEST = 1e30  # beyond it sums and drawings of rewards overflow
_ROUNDING = 1e-9  # share of the largest value; a metric that varies by less does not vary


@dataclass(frozen=True)
class Scale:
    """What a z-score is counted in.

    Attributes
    ----------
    mean, spread
        Mean and standard deviation over the candidates of a pool; a spread of 0 says that the metric does not vary.
    """

    mean: float
    spread: float

    @classmethod
    def of(cls, values: Array) -> "Scale":
        """Return the scale of values of any shape; their order has no part in it."""
        flat = values.ravel().tolist()
        mean = math.fsum(flat) / len(flat)
        if max(flat) - min(flat) <= _ROUNDING * max(map(abs, flat)):
            return cls(mean, 0.0)
        farthest = max(abs(value - mean) for value in flat)  # whose square might overflow
        squares = (((value - mean) / farthest) ** 2 for value in flat)
        return cls(mean, farthest * math.sqrt(math.fsum(squares) / len(flat)))

    def __call__(self, value: Scores) -> Scores:
        """Return the z-score of a value, or of arrays; 0 for a metric that does not vary."""
        return (value - self.mean) / self.spread if self.spread else value * 0.0


@dataclass(frozen=True)
class RewardWeights:
    """A weighted sum of metrics, by default 0.5 musicality + 0.5 alignment (as in the paper's best of N).

    Attributes
    ----------
    weights
        The weight of each metric by name; a negative weight punishes.
    standardise
        Whether each metric becomes a z-score before it is weighed. There is a reward only on some scale then (`on`).
    scales
        The scale of each metric, if they are standardised.
    """

    weights: Mapping[str, float] = field(
        default_factory=lambda: {"musicality": 0.5, "alignment": 0.5}, hash=False
    )
    standardise: bool = False
    scales: Mapping[str, Scale] = field(default_factory=dict, hash=False)

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
    def parse(cls, text: str, standardise: bool = False) -> "RewardWeights":
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
        return cls(weights, standardise)

    @property
    def name(self) -> str:
        """The sum in words, as `parse` reads it."""
        return ",".join(f"{name}={weight:g}" for name, weight in self.weights.items())

    @property
    def title(self) -> str:
        """The sum in words for people, who are told whether it is one of z-scores."""
        return f"{self.name} of z-scores" if self.standardise else self.name

    @property
    def flat(self) -> list[str]:
        """The standardised metrics with a weight that do not vary, and so contribute nothing."""
        return [name for name, scale in self.scales.items() if self.weights[name] and not scale.spread]

    def on(self, metrics: Mapping[str, Array]) -> "RewardWeights":
        """Return the reward on the scale of some clips; it is the same one where nothing is standardised.

        Parameters
        ----------
        metrics
            Metrics of all the clips by name, arrays of any one shape.

        Raises
        ------
        InputError
            If a metric is missing, naming those that exist.
        """
        if not self.standardise:
            return self
        self.check(tuple(metrics))
        return replace(self, scales={name: Scale.of(metrics[name]) for name in self.weights})

    def record(self) -> dict[str, Any]:
        """Return the reward as JSON has it, for `of_record`."""
        return {"weights": dict(self.weights), **self.scales_record()}

    def scales_record(self) -> dict[str, Any]:
        """Return the scales as JSON has them; nothing where nothing is standardised."""
        scales = {name: {"mean": one.mean, "spread": one.spread} for name, one in self.scales.items()}
        return {"scales": scales} if self.standardise else {}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "RewardWeights":
        """Return the reward that `record` has told of."""
        scales = {name: Scale(**one) for name, one in record.get("scales", {}).items()}
        return cls(record["weights"], "scales" in record, scales)

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
        if self.standardise and not self.scales:
            raise ValueError("a standardised reward needs a scale: ask on(metrics) for the reward")
        first, *others = (
            weight * (self.scales[name](scores[name]) if self.standardise else scores[name])
            for name, weight in self.weights.items()
        )
        return functools.reduce(operator.add, others, first)
