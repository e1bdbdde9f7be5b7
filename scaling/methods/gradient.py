"""Gradient ascent on the noise: DITTO (arXiv 2401.12179), towards a higher reward and on a sphere.

Sampler, decoder and reward model are one function of the noise that a clip starts from. From each of n noises it is
climbed in K steps of Adam through all of them,

    x' = |x_0| y / |y|,   y = Adam(x, dr/dx)

so that the noise stays as long as the model expects it to be. The drift of x is its angle to x_0, in degrees: 90 are as
far away as noise drawn anew, and by then nothing says that the model knows such noise. A look tells reward and drift
after each step.

DITTO climbs towards what a user draws (loudness, melody, parts of a clip), lets the noise grow, and computes the
sampler's steps again on the way back instead of keeping them; here the sampler should have few. The last noise is taken
and not the best on the way, as the reward of all but the last is known up to rounding only.

A start is finished too, as candidate i, and the end of its climb as n + i: what was gained is heard, and measured by
judges, on the same two clips. The choice is the better one, so that a climb that fails costs compute and no reward.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from generators.stepping import Partial, Stoppable, latent_stoppable
from music.errors import InputError
from music.prompts import Prompt
from reward import Scorer
from reward.differentiable import differentiable
from scaling.methods.protocol import Advance, Bench, Differentiate, Found, Hear, PromptMethod, Steps
from scaling.searching.compute import CLIP, SLOPE, Course, Work
from scaling.searching.trail import Look


@dataclass(frozen=True)
class GradientAscent(PromptMethod):
    """Climb from n noises.

    Attributes
    ----------
    ascents
        Steps from each, 1 or more.
    rate
        Learning rate of Adam, above 0 and below 1: about which share of its length the noise moves in a step.
    """

    ascents: int
    rate: float
    ordinary: ClassVar[bool] = False
    usual_n: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse steps that are none."""
        if self.ascents < 1:
            raise InputError(f"--ascents must be at least 1, got {self.ascents}")
        if not 0 < self.rate < 1:
            raise InputError(f"--ascent_rate must be above 0 and below 1, got {self.rate}")

    @classmethod
    def of(cls, options: Any, n: int) -> "GradientAscent":
        """Return the method that the options of a command ask for."""
        if options.standardise:
            raise InputError(
                "--method gradient climbs the reward of one clip, which has no z-score: leave out --standardise"
            )
        return cls(n, options.ascents, options.ascent_rate)

    def check(self, generator: Stoppable, begun: Partial, scorer: Scorer) -> None:
        """`InputError` for a generator that starts from no noise, or a reward without a gradient."""
        latent_stoppable(generator)
        differentiable(scorer)

    @property
    def finishes(self) -> int:
        """Number of candidates that are finished: starts and ends."""
        return 2 * self.n

    def work(self, course: Course) -> Work:
        """Return the work for one prompt."""
        return (SLOPE * self.ascents + CLIP * 2) * self.n

    def search(self, bench: Bench, prompt: Prompt) -> Steps:
        """Climb from all noises at once, then finish starts and ends."""
        generator = latent_stoppable(bench.generator)
        jobs = bench.jobs(prompt, range(self.n))
        starts = [generator.noise(job, bench.seconds) for job in jobs]
        noises = [start.clone() for start in starts]
        adam = torch.optim.Adam(noises, self.rate, maximize=True)
        looks: list[Look] = []

        def look(share: float, scores: Sequence[Mapping[str, float]]) -> None:
            rewards = bench.rewards(scores)
            for index, (start, noise) in enumerate(zip(starts, noises, strict=True)):
                told = {**scores[index], "drift": angle(start, noise)}
                looks.append(Look(self.n + index, share, True, float(rewards[index]), told))

        for step in range(self.ascents):
            slopes = yield Differentiate(jobs, noises)
            look(step / self.ascents, [slope.scores for slope in slopes])
            for noise, slope in zip(noises, slopes, strict=True):
                noise.grad = slope.gradient
            adam.step()
            for start, noise in zip(starts, noises, strict=True):
                noise.mul_(start.norm() / noise.norm())
        begun = generator.begin([*jobs, *jobs], bench.seconds, noise=[*starts, *noises])
        made = yield Advance(begun, 1.0)
        scores = yield Hear(made)
        look(1.0, scores[self.n :])
        return Found(dict(enumerate(made)), looks)


def angle(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the angle between two noises, degrees from 0 to 180."""
    a, b = (noise.double() / noise.double().norm() for noise in (one, other))
    return math.degrees(2 * math.atan2(float((a - b).norm()), float((a + b).norm())))
