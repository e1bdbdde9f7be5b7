"""Particles: sequential Monte Carlo on the way, towards a higher reward of the previews.

n particles are advanced together. After given shares of the work the reward model hears their previews, and a particle
whose line has been good gets a larger weight, by the potential "max" of FK steering (arXiv 2501.06848):

    w = exp(tempering * m),   m = max(z now, m before)

where z is the reward as a z-score among the particles, so that the tempering means the same for any reward and share of
the work. If the effective sample size (sum w)^2 / sum w^2 is below half of n, particles are drawn anew by their
weights (systematically): the copies of one go on with randomness of their own. With MusicGen this is sequential Monte
Carlo over prefixes. Copies of latents get half of their noise renewed, as a sampler that draws none would make them
alike.

All n are finished, as candidates of a pool of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from generators.stepping import LatentStoppable, Partial, Stoppable
from music.command import split_names
from music.errors import InputError
from music.hashing import copy_seed
from music.intervals import Array
from music.prompts import Prompt
from scaling.methods.protocol import Advance, Bench, Found, Hear, PromptMethod, Steps
from scaling.searching.compute import CLIP, Course, Work
from scaling.searching.trail import Look

_RENEWED = 0.5  # strength of the perturbation that makes copies of latents differ
_ENOUGH = 0.5  # of n, as an effective sample size


def parse_shares(text: str, option: str = "looks") -> tuple[float, ...]:
    """Read ``0.2,0.4``: shares of the work, ascending, between 0 and 1.

    Parameters
    ----------
    text
        The shares.
    option
        Option by which they were given.

    Raises
    ------
    InputError
        If they are not.
    """
    try:
        shares = tuple(float(part) for part in split_names(text))
    except ValueError as error:
        raise InputError(f"--{option} {text!r}: expected numbers with commas between") from error
    if not shares or not all(0 < share < 1 for share in shares) or sorted({*shares}) != [*shares]:
        raise InputError(
            f"--{option} must be shares of the work between 0 and 1, each above the one before, got {text!r}"
        )
    return shares


@dataclass(frozen=True)
class Particles(PromptMethod):
    """Advance n particles, and draw them anew by what is heard of them.

    Attributes
    ----------
    looks
        Shares of the work after which they are heard.
    tempering
        How much a standard deviation of reward counts, above 0.
    """

    looks: tuple[float, ...]
    tempering: float
    ordinary: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a tempering that is none."""
        if not (math.isfinite(self.tempering) and self.tempering > 0):
            raise InputError(f"--tempering must be above 0, got {self.tempering}")

    @classmethod
    def of(cls, options: Any, n: int) -> "Particles":
        """Return the method that the options of a command ask for."""
        return cls(n, parse_shares(options.looks), options.tempering)

    @property
    def finishes(self) -> int:
        """Number of candidates that are finished: all."""
        return self.n

    def work(self, course: Course) -> Work:
        """Return the work for one prompt."""
        heard = (course.preview(share, self.n) for share in self._heard(course))
        return sum(heard, CLIP * self.n)

    def _heard(self, course: Course) -> list[float]:
        """Return the shares after which particles are heard: of one, or at the end, there is nothing to draw."""
        reached = sorted({*map(course.reached, self.looks)}) if self.n > 1 else []
        return [share for share in reached if share < 1]

    def search(self, bench: Bench, prompt: Prompt) -> Steps:
        """Advance, hear, draw anew."""
        jobs = bench.jobs(prompt, range(self.n))
        particles = bench.generator.begin(jobs, bench.seconds)
        best = np.full(self.n, -np.inf)
        seen: list[Look] = []
        for share in self._heard(Course(particles[0].steps, True)):
            particles = yield Advance(particles, share)
            scores = yield Hear(particles)
            rewards = bench.rewards(scores)
            best = np.maximum(best, z_scores(rewards))
            weights = np.exp(self.tempering * (best - best.max()))
            weights /= weights.sum()
            parents = np.arange(self.n)
            if 1 / np.square(weights).sum() < _ENOUGH * self.n:
                draw = np.random.default_rng(copy_seed(jobs[0].seed, particles[0].step, 0)).random()
                parents = systematic(weights, draw)
            seen += [
                Look(index, one.share, index in parents, float(rewards[index]), scores[index])
                for index, one in enumerate(particles)
            ]
            particles, best = copies(bench.generator, particles, parents), best[parents]
        made = yield Advance(particles, 1.0)
        return Found(dict(enumerate(made)), seen)


def z_scores(rewards: Array) -> Array:
    """Return by how many standard deviations each reward lies above their mean; 0 for all where they are equal."""
    spread = rewards.std()
    return (rewards - rewards.mean()) / spread if spread > 0 else np.zeros_like(rewards)


def systematic(weights: Array, draw: float) -> NDArray[np.int64]:
    """Return the parents of as many particles as there are weights, ascending.

    Parameters
    ----------
    weights
        Weight of each particle; they add up to 1.
    draw
        A random number from 0 to 1, the only one: a particle of weight w gets n w children, up to rounding.
    """
    places = (np.arange(len(weights)) + draw) / len(weights)
    return np.minimum(np.searchsorted(np.cumsum(weights), places, side="right"), len(weights) - 1)


def copies(generator: Stoppable, particles: Sequence[Partial], parents: NDArray[np.int64]) -> list[Partial]:
    """Return the children of particles, the first of each as its parent was, the others with their own randomness."""
    found: list[Partial] = []
    for parent, count in zip(*np.unique(parents, return_counts=True), strict=True):
        first, *others = generator.copy(particles[parent], int(count))
        if isinstance(generator, LatentStoppable):
            others = [generator.perturb(one, _RENEWED) for one in others]
        found += [first, *others]
    return found
