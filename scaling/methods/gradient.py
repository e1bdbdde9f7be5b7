"""Gradient ascent on the noise: DITTO (arXiv 2401.12179), towards a higher reward and on a sphere.

Sampler, decoder and reward model are one function of the noise that a clip starts from. From each of n noises the
reward r is climbed in K steps: noise x is turned by an angle towards dr/dx, so that it stays as long as the model
expects it to be. The drift of x is its angle to where it started, in degrees: noise drawn anew lies at 90. A look tells
reward and drift after each step.

DITTO climbs towards what a user draws (loudness, melody, parts of a clip), by Adam, which moves every number of the
noise alike: also those behind the end of the clip, that nobody hears. Here the drift goes where the reward rises most.
DITTO computes the sampler's steps again on the way back; here they are kept, and there should be few. The last noise is
taken, and not the best on the way, as the rewards on the way are known up to rounding only.

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
from scaling.methods.protocol import Advance, Bench, Differentiate, Found, Hear, PromptMethod, Slope, Steps
from scaling.methods.sphere import angle, turned
from scaling.searching.compute import CLIP, SLOPE, Course, Work
from scaling.searching.trail import Look


@dataclass(frozen=True)
class GradientAscent(PromptMethod):
    """Climb from n noises.

    Attributes
    ----------
    ascents
        Steps from each, 1 or more.
    angle
        How far noise is turned in a step, degrees, above 0 and below 90.
    """

    ascents: int
    angle: float
    ordinary: ClassVar[bool] = False
    usual_n: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse steps that are none."""
        if self.ascents < 1:
            raise InputError(f"--ascents must be at least 1, got {self.ascents}")
        if not 0 < self.angle < 90:
            raise InputError(f"--ascent_angle must be above 0 and below 90 degrees, got {self.angle:g}")

    @classmethod
    def of(cls, options: Any, n: int) -> "GradientAscent":
        """Return the method that the options of a command ask for."""
        if options.standardise:
            raise InputError(
                "--method gradient climbs the reward of one clip, which has no z-score: leave out --standardise"
            )
        return cls(n, options.ascents, options.ascent_angle)

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
        noises = starts
        looks: list[Look] = []

        def look(share: float, scores: Sequence[Mapping[str, float]]) -> None:
            rewards = bench.rewards(scores)
            for index, (start, noise) in enumerate(zip(starts, noises, strict=True)):
                told = {**scores[index], "drift": angle(start, noise)}
                looks.append(Look(self.n + index, share, True, float(rewards[index]), told))

        for step in range(self.ascents):
            slopes = yield Differentiate(jobs, noises)
            look(step / self.ascents, [slope.scores for slope in slopes])
            noises = [self._climbed(noise, slope) for noise, slope in zip(noises, slopes, strict=True)]
        begun = generator.begin([*jobs, *jobs], bench.seconds, noise=[*starts, *noises])
        made = yield Advance(begun, 1.0)
        scores = yield Hear(made)
        look(1.0, scores[self.n :])
        return Found(dict(enumerate(made)), looks)

    def _climbed(self, noise: torch.Tensor, slope: Slope) -> torch.Tensor:
        """Return noise after a step; where the reward is flat it stays."""
        if not bool(slope.gradient.any()):
            return noise
        return turned(noise, slope.gradient, math.cos(math.radians(self.angle)))
