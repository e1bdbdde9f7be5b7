"""What a method of search is: what it does for one prompt, in steps that the workshop does for several at once.

A method is written for a single prompt, as a generator function that yields what it wants done and is sent what came of
it:

    partials = yield Advance(partials, 0.5)      # candidates after half of their work
    scores = yield Hear(partials)                # what the reward model says of their previews, a dict for each
    slopes = yield Differentiate(jobs, noises)   # what it says of whole clips from noise, with a gradient for each

`scaling.searching.workshop` runs those of several prompts side by side and does the same steps of all of them in the
same batches. As a method sees one prompt, and neither generator nor scorer lets a row depend on its neighbours, what
is found for a prompt does not depend on the prompts beside it, on processes or on a kill.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from generators.protocol import Job
from generators.stepping import Partial, Stoppable
from music.errors import InputError
from music.hashing import candidate_seed
from music.intervals import Array
from music.prompts import Prompt
from reward import RewardWeights, Scorer
from scaling.searching.compute import Course, Prices, Work
from scaling.searching.trail import Look

_MOST = 100_000  # candidates of a prompt that a budget is tried with
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Advance:
    """Advance candidates to a share of their work; what comes of it are the candidates, in order."""

    partials: Sequence[Partial]
    share: float


@dataclass(frozen=True)
class Hear:
    """Score previews of candidates by the reward model; what comes of it is a dict of metrics for each, in order."""

    partials: Sequence[Partial]


@dataclass(frozen=True)
class Differentiate:
    """Make clips from noise, and say how the reward rises with it; what comes of it is a `Slope` for each, in order."""

    jobs: Sequence[Job]
    noises: Sequence[torch.Tensor]


@dataclass(frozen=True)
class Slope:
    """The reward of what becomes of some noise, and its gradient.

    Attributes
    ----------
    scores
        What the reward model says of the clip, by metric.
    gradient
        Gradient of the reward, in the shape of the noise.
    """

    scores: Mapping[str, float]
    gradient: torch.Tensor


@dataclass(frozen=True)
class Found:
    """What came of the search for a prompt.

    Attributes
    ----------
    finished
        Candidates whose work is done, by their index.
    looks
        What was seen half-way.
    """

    finished: Mapping[int, Partial]
    looks: Sequence[Look] = ()


Task = Advance | Hear | Differentiate
Steps = Generator[Task, Any, Found]


@dataclass(frozen=True)
class Bench:
    """What a method works with.

    Attributes
    ----------
    generator
        The generator, which can be stopped.
    reward
        Weights of the metrics that decide.
    seconds
        Length of each clip, s.
    seed
        Seed of the run.
    """

    generator: Stoppable
    reward: RewardWeights
    seconds: float
    seed: int

    def jobs(self, prompt: Prompt, indices: Sequence[int]) -> list[Job]:
        """Return the jobs of candidates of a prompt, the same as those of best of n."""
        return [Job(prompt, index, candidate_seed(self.seed, prompt.id, index)) for index in indices]

    def rewards(self, scores: Sequence[Mapping[str, float]]) -> Array:
        """Return the reward of each of some candidates of one prompt at one share of their work.

        Where it is made of z-scores, they are those among these candidates.
        """
        metrics = {name: np.array([one[name] for one in scores]) for name in scores[0]}
        return self.reward.on(metrics)(metrics)


@dataclass(frozen=True)
class Method(ABC):
    """A way to spend compute on prompts; a dataclass of what decides what is found.

    Attributes
    ----------
    n
        Number of candidates; what that means is the method's own.
    """

    n: int
    #: n where nothing says it
    usual_n: ClassVar[int] = 10

    @classmethod
    def of(cls, options: Any, n: int) -> "Method":
        """Return the method that the options of a command ask for, with so many candidates.

        Raises
        ------
        InputError
            If an option of the method is out of range.
        """
        return cls(n)


@dataclass(frozen=True)
class PromptMethod(Method):
    """One that works on each prompt alone."""

    #: whether its finished candidates are those that best of n would make, and so lie in an ordinary pool
    ordinary: ClassVar[bool] = True
    #: whether the reward has a part in it, and not only in the choice among what it has finished
    listens: ClassVar[bool] = True

    def check(self, generator: Stoppable, begun: Partial, scorer: Scorer) -> None:
        """`InputError` if a generator cannot be searched in this way by a reward; `begun` is some candidate of it."""
        return

    @abstractmethod
    def search(self, bench: Bench, prompt: Prompt) -> Steps:
        """Search for one prompt; see the module."""

    @abstractmethod
    def work(self, course: Course) -> Work:
        """Return the work for one prompt, with a generator whose clips come about in this way."""

    @property
    @abstractmethod
    def finishes(self) -> int:
        """Number of candidates of a prompt that it finishes."""

    @property
    def widths(self) -> list[tuple[int, float]]:
        """How many candidates of a prompt are worked on at a time, each with that share of the work."""
        return [(self.finishes, 1.0)]


@dataclass(frozen=True)
class RoundMethod(Method):
    """One that draws whole candidates in rounds, and decides by the rewards of all prompts whose turn it is."""

    @abstractmethod
    def next_draws(self, rewards: Mapping[str, Sequence[float]]) -> list[str]:
        """Return the prompts that get one more candidate now; none if the drawing has ended.

        Parameters
        ----------
        rewards
            Rewards of the candidates of each prompt so far, by prompt id.
        """

    def draw(
        self, prompt_ids: Sequence[str], rewards_of: Callable[[list[tuple[str, int]]], Sequence[float]]
    ) -> dict[str, list[float]]:
        """Draw until it ends, and return the rewards of the candidates of each prompt.

        Parameters
        ----------
        prompt_ids
            The prompts.
        rewards_of
            Returns the rewards of candidates, which are prompt id and index, in order.
        """
        rewards: dict[str, list[float]] = {name: [] for name in prompt_ids}
        while names := self.next_draws(rewards):
            drawn = rewards_of([(name, len(rewards[name])) for name in names])
            for name, reward in zip(names, drawn, strict=True):
                rewards[name].append(reward)
        return rewards


class BudgetTooSmallError(InputError):
    """A budget pays for less than a method does at least."""


M = TypeVar("M", bound=PromptMethod)


def within_budget(make: Callable[[int], M], budget: float, course: Course, prices: Prices) -> M:
    """Return a method with as many candidates as a budget allows.

    Parameters
    ----------
    make
        Makes the method with a number of candidates.
    budget
        Compute for each prompt, in finished and scored clips, at least 1.
    course
        How a clip comes about.
    prices
        What the parts of a clip cost.

    Raises
    ------
    BudgetTooSmallError
        If the budget does not suffice for one candidate.
    """
    best = None
    for n in range(1, _MOST):
        try:
            method = make(n)
        except InputError:  # too few for this method
            continue
        if prices.clips(method.work(course)) > budget * (1 + _ROUNDING):
            break
        best = method
    if best is None:
        raise BudgetTooSmallError(f"--budget {budget:g} does not suffice for the least that this method does")
    return best
