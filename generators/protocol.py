"""What a generator is: jobs in, samples out, and a `spec` of everything else that decides the audio."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from music.candidate import Origin
from music.clips import Clip
from music.errors import InputError
from music.prompts import Prompt


@dataclass(frozen=True)
class Job:
    """One candidate that is to be made.

    Attributes
    ----------
    prompt
        Prompt that it is for.
    candidate
        Index among the candidates of that prompt, from 0.
    seed
        All its randomness, 63 bits; see `music.hashing.candidate_seed`.
    """

    prompt: Prompt
    candidate: int
    seed: int


@dataclass(frozen=True, eq=False)
class Sample:
    """One candidate that was made.

    Attributes
    ----------
    job
        What it was made for.
    clip
        The audio.
    tokens
        Codes or latents that decode to `clip`, in the generator's own layout; None if it keeps none.
    origin
        Where the clip was found, if it was recorded.
    """

    job: Job
    clip: Clip
    tokens: torch.Tensor | None
    origin: Origin | None = None


class Generator(Protocol):
    """Makes music.

    A sample is a function of (`spec`, seconds, prompt, seed), or of the candidate index in place of the seed
    (`generators.recorded.audio_folder`): the jobs beside it, their order and their number do not matter.

    Attributes
    ----------
    name
        Name that it was asked for by.
    sample_rate
        Samples a second, Hz.
    channels
        1 or 2.
    max_seconds
        Longest clip, s.
    accepts
        Parts of a prompt that it conditions on, a subset of {"text", "lyrics", "reference"}; it does not look at
        the others (`generators.filling` keeps prompts that have more from it).
    spec
        Weights hash, backend, library versions, numeric type, batch size, sampling options; JSON.
    """

    name: str
    sample_rate: int
    channels: int
    max_seconds: float
    accepts: frozenset[str]
    spec: Mapping[str, Any]

    @abstractmethod
    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        """Split jobs into what is made at once, so that several processes can share them.

        The jobs of a prompt stay together where they can.

        Raises
        ------
        InputError
            If `seconds` or a prompt is not for this generator.
        """
        ...

    @abstractmethod
    def make(self, batch: Sequence[Job], seconds: float) -> Iterator[Sample]:
        """Yield the samples of a batch that `batches` gave for clips of this length, in its order.

        Every clip has exactly round(seconds * sample_rate) samples.
        """
        ...

    def generate(self, jobs: Sequence[Job], seconds: float) -> Iterator[Sample]:
        """Yield one sample a job, batch by batch, each as soon as it is ready.

        Raises
        ------
        InputError
            Before the first sample, if `seconds` or a prompt is not for this generator.
        """
        batches = self.batches(jobs, seconds)
        return (sample for batch in batches for sample in self.make(batch, seconds))


def samples_of(seconds: float, generator: Generator) -> int:
    """Return round(seconds * sample_rate).

    Raises
    ------
    InputError
        If the generator cannot make clips of this length.
    """
    if not (math.isfinite(seconds) and round(seconds * generator.sample_rate) >= 1):
        raise InputError(f"--seconds must be above 0, got {seconds}")
    if seconds > generator.max_seconds:
        longest = math.floor(generator.max_seconds * 1e4) / 1e4  # never a number that would be refused again
        raise InputError(f"--seconds must be at most {longest:g} for {generator.name}, got {seconds:g}")
    return round(seconds * generator.sample_rate)
