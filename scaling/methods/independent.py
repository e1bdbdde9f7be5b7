"""Random search: n candidates from randomness of their own, all finished. It is best of n, to measure others by."""

from dataclasses import dataclass
from typing import ClassVar

from music.prompts import Prompt
from scaling.methods.protocol import Advance, Bench, Found, PromptMethod, Steps
from scaling.searching.compute import CLIP, Course, Work


@dataclass(frozen=True)
class Independent(PromptMethod):
    """Make n candidates."""

    listens: ClassVar[bool] = False

    @property
    def finishes(self) -> int:
        """Number of candidates that are finished: all."""
        return self.n

    def work(self, course: Course) -> Work:
        """Return the work for one prompt."""
        return CLIP * self.n

    def search(self, bench: Bench, prompt: Prompt) -> Steps:
        """Make them."""
        begun = bench.generator.begin(bench.jobs(prompt, range(self.n)), bench.seconds)
        made = yield Advance(begun, 1.0)
        return Found(dict(enumerate(made)))
