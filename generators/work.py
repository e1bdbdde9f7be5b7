"""What it costs a generator to make a clip, counted on the very code that makes it, without weights (`music.shapes`).

A batch is begun and advanced by one, two and three steps, as `generators.stepping` lets anybody do. A step costs the
same at each place, or, where a decoder attends to what it has written, more by the same amount at every place; so three
steps tell what all of them cost. What they share with no other step is what the batch costs before its first: the
conditions. A text is encoded once for all candidates of a prompt, and counted for itself.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

from generators.protocol import Job
from generators.shared.batch_generator import BatchGenerator
from generators.stepping import LatentStoppable, Partial
from music.prompts import Prompt
from music.shapes import Cost, Shapes

_ROUNDING = 1e-6  # of a step


class GeneratorWork:
    """The work of a generator on clips of one length.

    Parameters
    ----------
    load
        Function that returns the generator without weights (`generators.published.load_shape`).
    prompt
        What is made; a reference is not looked at.
    seconds
        Length of each clip, s.

    Attributes
    ----------
    generator
        The generator.
    steps
        Steps of a clip.
    text
        Cost of encoding a prompt, once for all of its candidates.
    conditions
        Cost of what a batch needs before its first step.
    weights
        Bytes of its weights.
    peak
        Bytes that are alive at once while a batch is made, those of the weights included.
    token_bytes
        Bytes of the tokens of one clip in a pool.

    Raises
    ------
    InputError
        If the generator cannot be loaded, or the length or prompt is not for it.
    """

    def __init__(self, load: Callable[[], BatchGenerator], prompt: Prompt, seconds: float) -> None:
        self._shapes = Shapes()
        with self._shapes.running():
            self.generator = load()
        self.seconds = seconds
        jobs = [Job(prompt, index, index) for index in range(self.generator.batch_size)]
        begun, start, begin_peak = self._shapes.measure(lambda: self.generator.begin(jobs, seconds))
        self.steps = begun[0].steps
        first, first_peak = self._advance(begun, 1)
        known = [self._advance(begun, step)[0] for step in range(1, min(3, self.steps) + 1)]
        spans = [later - before for before, later in pairwise(known)]
        self._more = spans[1] - spans[0] if len(spans) > 1 else Cost()
        self._first = spans[0] - self._more if spans else known[0]
        self.text = first - known[0]
        self.conditions = start + known[0] - self._first
        del begun
        self.weights = self._shapes.alive
        self.peak = max(begin_peak, first_peak)
        tokens = self.generator.blank_tokens(seconds)
        longest = self.generator.max_seconds
        self._frames = 0 if tokens.is_floating_point() else tokens.shape[-1]
        self._frame_seconds = longest / self.generator.blank_tokens(longest).shape[-1]
        self.token_bytes = tokens.numel() * (4 if tokens.is_floating_point() else 2)

    def _advance(self, begun: list[Partial], steps: int) -> tuple[Cost, int]:
        share = steps / begun[0].steps
        _, cost, peak = self._shapes.measure(lambda: self.generator.advance(begun, share))
        return cost, peak

    def span(self, start: int, stop: int) -> Cost:
        """Return the cost of the steps from `start` to before `stop` of a batch, without that of its conditions."""
        count = stop - start
        return self._first * count + self._more * (count * (start + stop - 1) / 2)

    def generating(self, start: float = 0.0, end: float = 1.0) -> Cost:
        """Return what each clip of a full batch costs from one share of its steps to another, not yet decoded.

        Parameters
        ----------
        start, end
            Shares of the steps, from 0 to 1. To take up work costs the conditions of a batch again.
        """
        span = self.span(self._step(start), self._step(end))
        return (span + self.conditions) * (1 / self.generator.batch_size)

    def preview(self, share: float) -> Cost:
        """Return what it costs to hear one clip at a share of its steps; at 1 the whole of it.

        The beginning that is written is decoded of codes, all that is predicted of latents.
        """
        return self._decoding(self.heard_seconds(share))[0]

    def heard_seconds(self, share: float) -> float:
        """Return how much can be heard of a clip at a share of its steps, s."""
        if isinstance(self.generator, LatentStoppable) or not self._frames:
            return self.seconds
        written = self._step(share) - (self.steps - self._frames)
        return max(0.0, min(self.seconds, written * self._frame_seconds))

    def _step(self, share: float) -> int:
        """Return the first step that reaches a share, as `generators.stepping` stops there."""
        return math.ceil(share * self.steps - _ROUNDING)

    @property
    def decoding_peak(self) -> int:
        """Bytes that are alive at once while a clip is decoded, those of the weights included."""
        return self._decoding(self.seconds)[1]

    @lru_cache(maxsize=64)  # noqa: B019 - as long as the work itself
    def _decoding(self, seconds: float) -> tuple[Cost, int]:
        if round(seconds * self.generator.sample_rate) < 1:
            return Cost(), self._shapes.alive
        tokens = self.generator.blank_tokens(seconds)
        _, cost, peak = self._shapes.measure(lambda: self.generator.decode_tokens(tokens, seconds))
        return cost, peak
