"""Zero-order search around the best noise (Ma et al., arXiv 2501.09732).

A round looks around a pivot: clips are made from its noise x and from neighbours of it on the sphere of its length,

    x' = |x| (0.95 u + sqrt(1 - 0.95^2) w),   u = x / |x|,   w a random direction orthogonal to u

and the best of the round is the pivot of the next; where no neighbour is better, that one starts from fresh noise. All
n clips are finished, and are the candidates of a pool of its own: what a candidate starts from depends on the rewards
of those before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from generators.stepping import Partial, Stoppable, latent_stoppable
from music.prompts import Prompt
from reward import Scorer
from scaling.methods.protocol import Advance, Bench, Found, Hear, PromptMethod, Steps
from scaling.methods.sphere import turned
from scaling.searching.compute import CLIP, Course, Work

_NEIGHBOURS = 4  # of a round
_NEAR = 0.95  # cosine of the angle between the noise of a neighbour and that of the pivot


@dataclass(frozen=True)
class NoiseSearch(PromptMethod):
    """Make n clips, from noise around the best one so far."""

    ordinary: ClassVar[bool] = False

    def check(self, generator: Stoppable, begun: Partial, scorer: Scorer) -> None:
        """`InputError` for a generator that starts from no noise."""
        latent_stoppable(generator)

    @property
    def finishes(self) -> int:
        """Number of candidates that are finished: all."""
        return self.n

    @property
    def widths(self) -> list[tuple[int, float]]:
        """Number of candidates of a round, for all of the work."""
        return [(min(self.n, _NEIGHBOURS), 1.0)]

    def work(self, course: Course) -> Work:
        """Return the work for one prompt."""
        return CLIP * self.n

    def search(self, bench: Bench, prompt: Prompt) -> Steps:
        """Search round by round, until n clips are made."""
        generator = latent_stoppable(bench.generator)
        jobs = bench.jobs(prompt, range(self.n))
        finished: dict[int, Partial] = {}
        scores: list[Mapping[str, float]] = []
        noises: list[torch.Tensor] = []
        pivot: int | None = None
        while len(scores) < self.n:
            first = len(scores)
            if pivot is None:
                pivot = first
                noises.append(generator.noise(jobs[first], bench.seconds))
            while len(noises) < min(self.n, max(first, pivot + 1) + _NEIGHBOURS):
                own = generator.noise(jobs[len(noises)], bench.seconds)
                noises.append(turned(noises[pivot], own, _NEAR))
            begun = generator.begin(jobs[first : len(noises)], bench.seconds, noise=noises[first:])
            made = yield Advance(begun, 1.0)
            scores += yield Hear(made)
            finished |= dict(enumerate(made, start=first))
            rewards = bench.rewards(scores)
            around = [pivot, *range(first, len(scores))]
            best = max(around, key=lambda place: (rewards[place], -place))
            pivot = best if best != pivot else None
        return Found(finished)
