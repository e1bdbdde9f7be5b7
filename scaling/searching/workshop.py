"""Prompts side by side: the same steps of several searches are done in the same batches, and what they find is written.

A search of `scaling.methods.protocol` is a generator function that asks for work. Those of a chunk of prompts are run
together: what they ask for at a time is advanced in one call, so that the slots of candidates that were dropped are
filled with those of other prompts. Previews are scored prompt by prompt, so that their scores are the same in any
chunk, and gradients are computed clip by clip.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch

from generators.protocol import Job, Sample
from generators.stepping import Partial, latent_stoppable
from music.clips import Clip
from music.devices import exact_float32
from music.errors import InputError
from music.hashing import candidate_seed
from music.prompts import Prompt
from reward import Scorer
from reward.differentiable import differentiable
from reward.protocol import ScoreRequest
from reward.scoring.in_memory import score_clips
from scaling.methods.protocol import (
    Advance,
    Bench,
    Differentiate,
    Found,
    Hear,
    PromptMethod,
    Slope,
    Steps,
    Task,
)
from scaling.searching.compute import SLOPE, Work
from scaling.searching.timing import Parts

T = TypeVar("T")


@dataclass
class _Running:
    """The search of one prompt on its way."""

    prompt: Prompt
    steps: Steps
    work: Work = field(default_factory=Work)
    #: finished candidates that were heard, by their identity
    heard: dict[int, Partial] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What the search for one prompt has found.

    Attributes
    ----------
    prompt
        The prompt.
    found
        Its candidates and what was seen on the way.
    work
        Work that it took, finishing and scoring its candidates included.
    """

    prompt: Prompt
    found: Found
    work: Work


@dataclass(frozen=True)
class Workshop:
    """What does the work that searches ask for.

    Attributes
    ----------
    bench
        What methods work with.
    scorer
        The reward model.
    timed
        Where the time that each part takes is told.
    """

    bench: Bench
    scorer: Scorer
    timed: Parts = field(default_factory=Parts)

    def search(self, method: PromptMethod, prompts: Sequence[Prompt]) -> list[Result]:
        """Return what a method finds for each of some prompts, in order."""
        running = [_Running(prompt, method.search(self.bench, prompt)) for prompt in prompts]
        asked: dict[int, Task] = {}
        found: dict[int, Found] = {}

        def resume(place: int, answer: Any) -> None:
            try:
                asked[place] = running[place].steps.send(answer)
            except StopIteration as end:
                asked.pop(place, None)
                found[place] = end.value

        for place in range(len(running)):
            resume(place, None)
        while asked:
            answers = (
                self._advance(running, asked)
                or self._differentiate(running, asked)
                or self._hear(running, asked)
            )
            for place, answer in answers.items():
                resume(place, answer)
        return [
            Result(one.prompt, found[place], one.work + _finishing(one, found[place]))
            for place, one in enumerate(running)
        ]

    def sample(self, partial: Partial) -> Sample:
        """Return the sample of a finished candidate."""
        return self.timed("decoding", lambda: self.bench.generator.finish(partial))

    def seed(self, prompt: Prompt, candidate: int) -> int:
        """Return the seed of a candidate, as pools record it."""
        return candidate_seed(self.bench.seed, prompt.id, candidate)

    def _advance(self, running: Sequence[_Running], asked: Mapping[int, Task]) -> dict[int, Any]:
        """Advance what is to be advanced to the lowest share that anybody asks for."""
        wanted = {place: one for place, one in asked.items() if isinstance(one, Advance)}
        if not wanted:
            return {}
        share = min(one.share for one in wanted.values())
        wanted = {place: one for place, one in wanted.items() if one.share == share}
        before = [partial for one in wanted.values() for partial in one.partials]
        after = iter(self.timed("generation", lambda: self.bench.generator.advance(before, share)))
        answers = {}
        for place, one in wanted.items():
            answers[place] = [next(after) for _ in one.partials]
            done = sum(new.share - old.share for new, old in zip(answers[place], one.partials, strict=True))
            running[place].work += Work(generation=done)
        return answers

    def _differentiate(self, running: Sequence[_Running], asked: Mapping[int, Task]) -> dict[int, Any]:
        """Compute the gradients that are asked for, one by one."""
        answers = {}
        for place, one in asked.items():
            if isinstance(one, Differentiate):
                pairs = zip(one.jobs, one.noises, strict=True)
                answers[place] = [self.timed("gradient", partial(self._slope, *pair)) for pair in pairs]
                running[place].work += SLOPE * len(one.jobs)
        return answers

    def _slope(self, job: Job, noise: torch.Tensor) -> Slope:
        generator, start = latent_stoppable(self.bench.generator), noise.clone().requires_grad_()
        with exact_float32():
            wave = generator.render(job, self.bench.seconds, start).float()
            request = ScoreRequest(as_written(Clip(wave, generator.sample_rate)), job.prompt)
            metrics = differentiable(self.scorer).measure(request)
            (gradient,) = torch.autograd.grad(self.bench.reward(metrics), start)
        if not bool(gradient.isfinite().all()):
            raise InputError(
                f"prompt {job.prompt.id!r}: the gradient of {self.scorer.name} holds NaN or infinity"
            )
        return Slope({name: value.item() for name, value in metrics.items()}, gradient)

    def _hear(self, running: Sequence[_Running], asked: Mapping[int, Task]) -> dict[int, Any]:
        """Score all previews that are asked for, prompt by prompt."""
        answers = {}
        for place, one in asked.items():
            assert isinstance(one, Hear)
            clips = [self._preview(partial) for partial in one.partials]
            requests = [ScoreRequest(clip, running[place].prompt) for clip in clips]
            answers[place] = self._scores(requests, one.partials[0].share)
            heard = sum(clip.seconds for clip in clips) / self.bench.seconds
            running[place].work += Work(decoding=heard, scoring=heard)
            running[place].heard |= {id(partial): partial for partial in one.partials if partial.share == 1}
        return answers

    def _scores(self, requests: Sequence[ScoreRequest], share: float) -> list[dict[str, float]]:
        try:
            return self.timed("scoring", lambda: score_clips(self.scorer, requests))
        except InputError as error:
            raise InputError(
                f"{self.scorer.name} cannot score a preview after {share:.0%} of the work: {error}; look later, or "
                "make longer clips"
            ) from error

    def _preview(self, partial: Partial) -> Clip:
        clip = self.timed("decoding", lambda: self.bench.generator.preview(partial))
        return as_written(clip)


def as_written(clip: Clip) -> Clip:
    """Return a clip with its peak at most 1, as a pool would hold it."""
    peak = clip.waveform.abs().max() if clip.waveform.numel() else 0.0
    return Clip(clip.waveform / peak, clip.sample_rate) if peak > 1 else clip


def chunks(prompts: Sequence[T], size: int) -> Iterator[list[T]]:
    """Yield consecutive pieces of at most `size` prompts."""
    for start in range(0, len(prompts), size):
        yield list(prompts[start : start + size])


def _finishing(running: _Running, found: Found) -> Work:
    """Return the work of decoding and scoring what is finished and was not heard as a finished clip already."""
    left = float(sum(id(partial) not in running.heard for partial in found.finished.values()))
    return Work(decoding=left, scoring=left)
