"""What a search costs, in units of one finished and scored clip.

Work is counted by what a method asks for, so that a run that was killed and taken up again has cost as much as one that
was not. What the parts of a clip cost is said by `prices_of` and `counted_prices` alone.
"""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from generators.protocol import Generator
from generators.stepping import LatentStoppable, Partial
from music.errors import InputError
from music.prompts import Prompt
from reward import Scorer
from reward.cmi_rm.scorer import CMIRMScorer
from scaling.compute.clip import ClipCompute, work_of


@dataclass(frozen=True)
class Work:
    """Work that was done, each part in clips: half of the steps of two candidates are the generation of one.

    Attributes
    ----------
    generation
        Steps of the generator.
    decoding
        Audio that tokens were decoded to, finished clips and previews alike.
    scoring
        Audio that the reward model has heard.
    """

    generation: float = 0.0
    decoding: float = 0.0
    scoring: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Return the work of both."""
        return Work(
            self.generation + other.generation,
            self.decoding + other.decoding,
            self.scoring + other.scoring,
        )

    def __mul__(self, times: float) -> "Work":
        """Return the work of several alike."""
        return Work(self.generation * times, self.decoding * times, self.scoring * times)


_ROUNDING = 1e-6  # of a step
CLIP = Work(1.0, 1.0, 1.0)  # one finished and scored clip
#: one with the gradient of its reward: as no weight needs any, the way back costs as much again
SLOPE = CLIP * 2.0


@dataclass(frozen=True)
class Course:
    """How a clip comes about.

    Attributes
    ----------
    steps
        Steps of the generator.
    whole_previews
        Whether a preview is as long as the clip, and not its beginning.
    """

    steps: int
    whole_previews: bool

    @classmethod
    def of(cls, generator: Generator, begun: Partial) -> "Course":
        """Return how a generator makes a clip that it has begun."""
        return cls(begun.steps, isinstance(generator, LatentStoppable))

    def reached(self, share: float) -> float:
        """Return the share of the work that is done at the first step with at least this share."""
        return min(1.0, max(1, math.ceil(share * self.steps - _ROUNDING)) / self.steps)

    def preview(self, share: float, count: int) -> Work:
        """Return the work of hearing so many candidates at a share, at most."""
        heard = 1.0 if self.whole_previews else self.reached(share)
        return Work(0.0, heard, heard) * count


@dataclass(frozen=True)
class Prices:
    """What each part of one finished and scored clip costs, as a share of the whole; they add up to 1.

    Attributes
    ----------
    generation, decoding, scoring
        Shares of the parts; see `Work`.
    basis
        What they rest on.
    flop
        FLOP of one finished and scored clip; None if they cannot be counted.
    """

    generation: float
    decoding: float
    scoring: float
    basis: str
    flop: float | None = None

    def clips(self, work: Work) -> float:
        """Return what work costs, in finished and scored clips."""
        return sum(getattr(self, part.name) * getattr(work, part.name) for part in fields(work))

    def record(self) -> dict[str, Any]:
        """Return the prices as JSON has them."""
        return asdict(self)


NOMINAL = Prices(0.9, 0.03, 0.07, "nominal")


def prices_of(config: Any, scorer: Scorer, prompt: Prompt) -> Prices:
    """Return what the parts of a clip cost: by FLOP where generator and reward can be counted, else nominal prices.

    Parameters
    ----------
    config
        Options with `generator`, `seconds` and those of `music.options.Generation`, `Rewarding` and `Runtime`.
    scorer
        The reward model.
    prompt
        What is made, as long as prompts usually are.
    """
    if not isinstance(scorer, CMIRMScorer):
        return NOMINAL
    try:
        clip = ClipCompute(*work_of(config, prompt))
    except InputError:  # not of a kind that can be counted
        return NOMINAL
    return counted_prices(clip, config.seconds)


def counted_prices(clip: ClipCompute, seconds: float) -> Prices:
    """Return what the parts of a clip of this length (s) cost, by FLOP."""
    parts = clip.generating(), clip.decoding(), clip.scoring(seconds)
    generating, decoding, scoring = (part / sum(parts) for part in parts)
    return Prices(generating, decoding, scoring, "FLOP", sum(parts))
