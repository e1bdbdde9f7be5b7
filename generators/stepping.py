"""Generators that can be stopped half-way: an optional capability beside `generators.protocol.Generator`.

A candidate is begun, advanced to a share of its work, previewed, and dropped, copied or finished. What is kept of it
in between is a `Partial`, which nothing changes: to prune a candidate is to forget its partial, and to advance it twice
gives the same twice. Partials of several prompts are advanced together, so that the slots of those that were dropped
are filled with other work and batches stay full.

A survivor is the candidate that `generate` makes, tokens and audio to the bit, whatever stood beside it, was dropped or
copied, and wherever it was stopped.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from generators.protocol import Generator, Job, Sample
from music.clips import Clip
from music.errors import InputError


@dataclass(frozen=True, eq=False)
class Partial:
    """A candidate that is being made.

    Attributes
    ----------
    job
        What it is made for.
    seconds
        Length of the clip, s.
    kind
        What it must share with others to be in one batch with them.
    steps
        Steps of the whole work: positions of the decoder or evaluations of the denoiser.
    step
        How many of them are done.
    seed
        Seed of its randomness: that of the job, or for a copy `music.hashing.copy_seed`.
    stream
        Its randomness from here on; never drawn from in place.
    state
        What the generator has of it so far; tensors on its device that nobody changes.
    """

    job: Job
    seconds: float
    kind: Hashable
    steps: int
    step: int
    seed: int
    stream: np.random.Generator
    state: Mapping[str, Any]

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1."""
        return self.step / self.steps


@runtime_checkable
class Stoppable(Generator, Protocol):
    """A generator whose work can be stopped and taken up again.

    Attributes
    ----------
    batch_size
        Clips that are worked on at once.
    """

    batch_size: int

    def begin(self, jobs: Sequence[Job], seconds: float) -> list[Partial]:
        """Return the beginning of each job, before any work.

        Raises
        ------
        InputError
            If `seconds` or a prompt is not for this generator.
        """
        ...

    def advance(self, partials: Sequence[Partial], share: float) -> list[Partial]:
        """Return candidates after more of their work, in the order given.

        Those of one kind, length and step are worked on together, in batches of the generator's size: give those of
        several prompts at once to keep the batches full.

        Parameters
        ----------
        partials
            Candidates, at any steps; they stay as they are.
        share
            Share of the work that is to be done at least, above that of each candidate and at most 1. It ends with
            the first step that reaches it.

        Raises
        ------
        InputError
            If the share is out of that range, or the model computes NaN or infinity.
        """
        ...

    def preview(self, partial: Partial) -> Clip:
        """Return what can be heard of a candidate so far.

        From codes it is the clip's beginning, from latents the whole clip as the model predicts it.

        Raises
        ------
        InputError
            If there is nothing to be heard yet.
        """
        ...

    def copy(self, partial: Partial, n: int) -> list[Partial]:
        """Return a candidate and n - 1 copies of it that go on with randomness of their own, n at least 1."""
        ...

    def finish(self, partial: Partial) -> Sample:
        """Return the sample of a candidate whose work is done; its job is that of the original for a copy, too.

        Raises
        ------
        InputError
            If the work is not done.
        """
        ...


@runtime_checkable
class LatentStoppable(Stoppable, Protocol):
    """One that turns noise into latents, which can be looked at and changed on the way."""

    def begin(
        self, jobs: Sequence[Job], seconds: float, noise: Sequence[torch.Tensor] | None = None
    ) -> list[Partial]:
        """Return the beginning of each job; see `Stoppable.begin`.

        Parameters
        ----------
        jobs, seconds
            What is to be made.
        noise
            Noise that each of them starts from in place of its own, as `noise` gives it. What is drawn later remains
            that of the job's seed.
        """
        ...

    def noise(self, job: Job, seconds: float) -> torch.Tensor:
        """Return the noise that a job starts from: the shape of one clip's latents, of deviation 1."""
        ...

    def render(self, job: Job, seconds: float, noise: torch.Tensor) -> torch.Tensor:
        """Return the audio that a job becomes from given noise, `[channels, samples]`; gradients reach the noise.

        All steps and the decoder are kept for the way back, so give it a generator of few steps. It is the clip of
        `begin` from that noise up to rounding, not to the bit: there is no batch.

        Parameters
        ----------
        job, seconds
            What is to be made.
        noise
            As `noise` gives it; it may require gradients.

        Raises
        ------
        InputError
            If `seconds`, the prompt or the noise is not for this generator.
        """
        ...

    def latents(self, partial: Partial) -> torch.Tensor:
        """Return the noisy latents of a candidate, float32."""
        ...

    def with_latents(self, partial: Partial, latents: torch.Tensor) -> Partial:
        """Return a candidate with other noisy latents.

        Raises
        ------
        InputError
            If they are not of the right shape, or not finite.
        """
        ...

    def clean_latents(self, partial: Partial) -> torch.Tensor:
        """Return the model's last prediction of the clean latents.

        Raises
        ------
        InputError
            If the model has predicted nothing yet.
        """
        ...

    def scales(self, partial: Partial) -> tuple[float, float]:
        """Return (a, s): noisy latents are a * clean latents + s * noise of deviation 1 at this step."""
        ...

    def perturb(self, partial: Partial, strength: float) -> Partial:
        """Return a candidate with some of its noise replaced, at the same level of noise.

        With the noise n that the last prediction implies, it becomes sqrt(1 - strength^2) n + strength * new noise of
        the candidate's own stream. It makes copies differ where the sampler itself draws no noise.

        Parameters
        ----------
        partial
            The candidate.
        strength
            Above 0, at most 1: nothing is left of the noise then.

        Raises
        ------
        InputError
            If the strength is out of that range.
        """
        ...

    def guidance_gap(self, partial: Partial) -> float:
        """Return how far apart the predictions with and without conditions were, summed over the steps done.

        Each step adds the root mean square of their difference (CFG-Rejection, arXiv 2505.23343).

        Raises
        ------
        InputError
            If the generator samples without guidance.
        """
        ...


def stoppable(generator: Generator) -> Stoppable:
    """Return a generator as one that can be stopped.

    Raises
    ------
    InputError
        If it cannot.
    """
    if not isinstance(generator, Stoppable):
        raise InputError(
            f"{generator.name} cannot be stopped half-way: choose a generator that makes its clips step by step "
            "(music-reward generators list)"
        )
    return generator


def latent_stoppable(generator: Generator) -> LatentStoppable:
    """Return a generator as one whose latents can be looked at and changed on the way.

    Raises
    ------
    InputError
        If it cannot be stopped, or has no latents.
    """
    stoppable(generator)
    if not isinstance(generator, LatentStoppable):
        raise InputError(f"{generator.name} starts from no noise: choose a generator by diffusion or flow")
    return generator
