"""Evolution along the way from noise to music: EvoSearch (arXiv 2505.17618), with mutations that keep the noise level.

A population of n is made from noise and heard. Then, at ever later shares of the work, a new population is bred: the
elite stays, and children take the latents that a parent had at that share, mutated, and are made from there on. So
later generations cost less, and search closer. A parent is the best of a random nine tenths of the population. A
mutation replaces a part of the noise in the latents by fresh noise; EvoSearch adds it to latents half-way, which leaves
more noise in them than the model expects.

All that were made are candidates of a pool of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from generators.stepping import Partial, Stoppable, latent_stoppable
from music.errors import InputError
from music.hashing import copy_seed
from music.prompts import Prompt
from reward import Scorer
from scaling.methods.protocol import Advance, Bench, Found, Hear, PromptMethod, Steps
from scaling.searching.compute import CLIP, Course, Work

# share of the work at which a generation is bred, and its size in those of the first
_GENERATIONS = ((0.1, 7 / 14), (0.4, 7 / 14), (0.6, 7 / 14), (0.8, 10 / 14))
_ELITE = 3 / 14  # of the first generation
_RIVALS = 0.9  # of the population, among whom the best becomes a parent
_MUTATION = 0.2  # strength


@dataclass
class _One:
    """One of a population.

    Attributes
    ----------
    index
        Its index among the candidates.
    on_the_way
        What it was at each share of the work at which others may be bred.
    """

    index: int
    on_the_way: dict[float, Partial] = field(default_factory=dict)


@dataclass(frozen=True)
class Evolve(PromptMethod):
    """Breed from a first population of n."""

    ordinary: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a population of which nothing can be bred."""
        if self.n < 2:
            raise InputError(f"--method evolve needs a population of at least 2, got --n {self.n}")

    def check(self, generator: Stoppable, begun: Partial, scorer: Scorer) -> None:
        """`InputError` for a generator that has no latents, or so few steps that the last generation would be done."""
        latent_stoppable(generator)
        if Course(begun.steps, True).reached(_GENERATIONS[-1][0]) == 1:
            raise InputError(
                f"--method evolve needs at least 5 steps, got {begun.steps}: give --sampling_steps"
            )

    @property
    def elite(self) -> int:
        """Number of the best that stay in each generation."""
        return max(1, round(_ELITE * self.n))

    @property
    def children(self) -> dict[float, int]:
        """Number of those that are bred, by share of the work."""
        return {share: max(1, math.ceil(size * self.n - 1e-9) - self.elite) for share, size in _GENERATIONS}

    @property
    def finishes(self) -> int:
        """Number of candidates that are finished: all that are ever made."""
        return self.n + sum(self.children.values())

    @property
    def widths(self) -> list[tuple[int, float]]:
        """Number of those that are made in each generation, with the work of each of them."""
        return [(self.n, 1.0), *((count, 1 - share) for share, count in self.children.items())]

    def work(self, course: Course) -> Work:
        """Return the work for one prompt."""
        bred = (Work(1 - course.reached(share), 1.0, 1.0) * count for share, count in self.children.items())
        return sum(bred, CLIP * self.n)

    def search(self, bench: Bench, prompt: Prompt) -> Steps:
        """Make, hear, breed."""
        generator = latent_stoppable(bench.generator)
        jobs = bench.jobs(prompt, range(self.n))
        begun = generator.begin(jobs, bench.seconds)
        finished: dict[int, Partial] = {}
        scores: list[Mapping[str, float]] = []
        population: list[_One] = []
        for share, count in ((0.0, self.n), *self.children.items()):
            if share:
                rewards = bench.rewards(scores)
                population.sort(key=lambda one: (-rewards[one.index], one.index))
                step = population[0].on_the_way[share].step
                draws = np.random.default_rng(copy_seed(jobs[0].seed, step, 0))
                parents = [self._parent(population, draws) for _ in range(count)]
                begun = []
                for parent in dict.fromkeys(one.index for one in parents):
                    asked = sum(one.index == parent for one in parents)
                    known = next(one for one in population if one.index == parent)
                    twins = generator.copy(known.on_the_way[share], asked + 1)[1:]
                    begun += [generator.perturb(twin, _MUTATION) for twin in twins]
                population = population[: self.elite]
            fresh = [_One(len(scores) + place) for place in range(len(begun))]
            for later in (later for later in self.children if later >= share):
                if begun[0].share < later:
                    begun = yield Advance(begun, later)
                for one, partial in zip(fresh, begun, strict=True):
                    one.on_the_way[later] = partial
            if begun[0].share < 1:
                begun = yield Advance(begun, 1.0)
            scores += yield Hear(begun)
            finished |= {one.index: partial for one, partial in zip(fresh, begun, strict=True)}
            population += fresh
        return Found(finished)

    def _parent(self, population: list[_One], draws: np.random.Generator) -> _One:
        """Return the best of a random part of a population that stands in its order."""
        count = max(1, math.ceil(_RIVALS * len(population)))
        return population[min(draws.choice(len(population), count, replace=False))]
