"""Successive halving: begin many candidates, look at all of them on the way, and go on with the best.

Speculative Rejection (arXiv 2410.20290) does so with the prefixes of a language model. A schedule says after which
share of the work which share of the candidates that are left goes on; what is seen of them is left to `prune` and
`cfg`.
"""

import math
from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generators.stepping import Partial
from music.command import split_names
from music.errors import InputError
from music.intervals import Array
from music.prompts import Prompt
from scaling.choose_best import ranking
from scaling.methods.protocol import Advance, Bench, Found, Hear, PromptMethod, Steps
from scaling.searching.compute import CLIP, Course, Work
from scaling.searching.trail import Look

_ROUNDING = 1e-9
Seen = Generator[Hear, Any, tuple[Sequence[Mapping[str, float]], Array]]


@dataclass(frozen=True)
class Stage:
    """A look at all candidates that are left.

    Attributes
    ----------
    share
        Share of the work after which it comes, above 0 and below 1.
    keep
        Share of the candidates that go on, above 0 and at most 1; at least one does.
    """

    share: float
    keep: float

    def kept(self, count: int) -> int:
        """Return how many of so many candidates go on."""
        return max(1, math.ceil(self.keep * count - _ROUNDING))


def parse_schedule(text: str, option: str = "schedule") -> tuple[Stage, ...]:
    """Read ``0.3=0.5,0.5=0.5``: after 0.3 of the work half of the candidates go on, after half half of those.

    Parameters
    ----------
    text
        The schedule.
    option
        Option by which it was given.

    Raises
    ------
    InputError
        If it is no schedule.
    """
    stages: list[Stage] = []
    for part in split_names(text):
        after, _, keep = part.partition("=")
        try:
            stage = Stage(float(after), float(keep))
        except ValueError as error:
            raise InputError(f"--{option} {text!r}: expected SHARE=SHARE, got {part!r}") from error
        if not (0 < stage.share < 1 and 0 < stage.keep <= 1):
            raise InputError(
                f"--{option} {text!r}: shares of the work lie between 0 and 1, and what is kept is above 0 and at "
                f"most 1, got {part!r}"
            )
        if stages and stage.share <= stages[-1].share:
            raise InputError(f"--{option} {text!r}: {part!r} must come after {stages[-1].share:g}")
        stages.append(stage)
    if not stages:
        raise InputError(f"--{option} names no share of the work, as in 0.3=0.5,0.5=0.5")
    return tuple(stages)


@dataclass(frozen=True)
class Halving(PromptMethod):
    """Begin n candidates and drop some on the way.

    Attributes
    ----------
    schedule
        When how many go on.
    """

    schedule: tuple[Stage, ...]

    @classmethod
    def of(cls, options: Any, n: int) -> "Halving":
        """Return the method that the options of a command ask for."""
        return cls(n, parse_schedule(options.schedule))

    @abstractmethod
    def look(self, bench: Bench, partials: Sequence[Partial]) -> Seen:
        """Return what is seen of candidates, a dict for each, and the number that decides, `[N]`."""

    @abstractmethod
    def cost_of_looking(self, course: Course, share: float, count: int) -> Work:
        """Return the work of a look at so many candidates at a share."""

    @property
    def finishes(self) -> int:
        """Number of candidates that are left at the end."""
        left = self.n
        for stage in self.schedule:
            left = stage.kept(left)
        return left

    @property
    def widths(self) -> list[tuple[int, float]]:
        """How many candidates of a prompt are left, each with the share of the work for which they are."""
        found, left, done = [], self.n, 0.0
        for stage in self.schedule:
            found.append((left, stage.share - done))
            left, done = stage.kept(left), stage.share
        return [*found, (left, 1 - done)]

    def search(self, bench: Bench, prompt: Prompt) -> Steps:
        """Begin, look, drop, finish; nobody looks at a stage at which all would go on."""
        alive = bench.generator.begin(bench.jobs(prompt, range(self.n)), bench.seconds)
        looks: list[Look] = []
        for stage in self.schedule:
            count = stage.kept(len(alive))
            if count == len(alive):
                continue
            if alive[0].share < stage.share:  # one step may be more than one stage
                alive = yield Advance(alive, stage.share)
            scores, rewards = yield from self.look(bench, alive)
            best = {int(place) for place in ranking(np.asarray(rewards)[None])[0, :count]}
            looks += [
                Look(
                    partial.job.candidate, partial.share, place in best, float(rewards[place]), scores[place]
                )
                for place, partial in enumerate(alive)
            ]
            alive = [partial for place, partial in enumerate(alive) if place in best]
        if alive[0].share < 1:
            alive = yield Advance(alive, 1.0)
        return Found({partial.job.candidate: partial for partial in alive}, looks)

    def work(self, course: Course) -> Work:
        """Return the work for one prompt."""
        left, done, total = self.n, 0.0, Work()
        for stage in self.schedule:
            count = stage.kept(left)
            if count == left:
                continue
            reached = max(done, course.reached(stage.share))
            total += Work(generation=left * (reached - done)) + self.cost_of_looking(course, reached, left)
            left, done = count, reached
        return total + Work(generation=left * (1 - done)) + Work(0.0, CLIP.decoding, CLIP.scoring) * left
