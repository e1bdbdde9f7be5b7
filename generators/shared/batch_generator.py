"""What all generators that run a model share: batches of one fixed size, decoded clip by clip.

A job meets the same tensor shapes whatever stands beside it, or those of fewer rows that are proved to give it the same
bits, and the audio of tokens does not depend on what else was in the batch. All of them can be stopped half-way
(`generators.stepping`): to make a batch is to advance it to its end at once.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any, ClassVar, TypeVar

import numpy as np
import soundfile
import torch

from generators.protocol import Generator, Job, Sample, samples_of
from generators.shared.noise import CandidateNoise, stream_of
from generators.shared.slots import slots_of
from generators.stepping import Partial
from music.clips import Clip
from music.devices import exact_float32
from music.errors import InputError
from music.hashing import copy_seed
from music.prompts import Prompt

T = TypeVar("T")
_ROUNDING = 1e-6  # of a step


def plan_batches(items: Sequence[T], kind: Callable[[T], Hashable], size: int) -> list[list[T]]:
    """Split items into batches of `size`, each of one kind; the last batch of a kind may be shorter.

    Order is kept within a kind, and a batch stands where its last item fell.

    Parameters
    ----------
    items
        What is to be split.
    kind
        What the items of one batch must share.
    size
        Items of a batch, at least 1.
    """
    batches: list[list[T]] = []
    open_batches: dict[Hashable, list[T]] = {}
    for item in items:
        batch = open_batches.setdefault(kind(item), [])
        batch.append(item)
        if len(batch) == size:
            batches.append(open_batches.pop(kind(item)))
    return batches + list(open_batches.values())


def check_batch_size(batch_size: int) -> None:
    """`InputError` unless a batch holds something."""
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")


class BatchGenerator(Generator, ABC):
    """A generator whose model makes the tokens of a batch at once; see `generators.protocol.Generator`.

    The weights are taken to stay as they are: after training, make a new one.

    Parameters
    ----------
    name
        Name that it was asked for by.
    weights
        SHA-256 of weights, configurations and tokenizers.
    options
        Dataclass of what else decides the audio; JSON.
    batch_size
        Clips made at once; fixed, a shorter batch is padded.
    device
        Where the model runs.
    dtype
        Numeric type of the modules that do nearly all the work.

    Attributes
    ----------
    backend, libraries
        What runs it, and the packages whose versions are part of the spec.
    sampler
        Version of our own code, part of the spec: raise it with any change that changes the audio of a seed.

    Raises
    ------
    InputError
        If the batch size is below 1, or no batch near that size is safe on this machine; see
        `generators.shared.slots.slots_of`.
    """

    backend: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    sampler: ClassVar[int]
    accepts: frozenset[str] = frozenset({"text"})

    def __init__(
        self, name: str, weights: str, options: Any, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        check_batch_size(batch_size)
        slots_of(batch_size, device, dtype)  # refused before any work
        self.name = name
        self.options = options
        self.batch_size = batch_size
        self._device = device
        self._dtype = dtype
        self.spec: Mapping[str, Any] = {
            "weights": weights,
            "backend": self.backend,
            "sampler": self.sampler,
            "versions": {library: version(library) for library in self.libraries},
            "device": device.type,
            "dtype": str(dtype).removeprefix("torch."),
            "batch_size": batch_size,
            **asdict(options),
        }

    def _accept_references(self) -> None:
        """Accept references; what reads and resamples them is part of the spec from now on."""
        self.accepts = self.accepts | {"reference"}
        versions = {"libsndfile": soundfile.__libsndfile_version__, "soxr": version("soxr")}
        self.spec = {**self.spec, "versions": {**self.spec["versions"], **versions}}

    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        """Split jobs into batches of one kind; see `generators.protocol.Generator.batches`."""
        kinds = self._kinds(jobs, seconds)
        return plan_batches(jobs, lambda job: kinds[_conditions_of(job.prompt)], self.batch_size)

    def make(self, batch: Sequence[Job], seconds: float) -> Iterator[Sample]:
        """Yield the samples of a batch; see `generators.protocol.Generator.make`."""
        for partial in self.advance(self.begin(batch, seconds), 1.0):
            yield self.finish(partial)

    def begin(self, jobs: Sequence[Job], seconds: float) -> list[Partial]:
        """Return the beginning of each job; see `generators.stepping.Stoppable.begin`."""
        kinds = self._kinds(jobs, seconds)
        steps = self._steps(seconds)
        return [
            Partial(
                job, seconds, kinds[_conditions_of(job.prompt)], steps, 0, job.seed, stream_of(job.seed), {}
            )
            for job in jobs
        ]

    def advance(self, partials: Sequence[Partial], share: float) -> list[Partial]:
        """Return candidates after more of their work; see `generators.stepping.Stoppable.advance`."""
        for partial in partials:
            if not partial.share < share <= 1:
                raise InputError(
                    f"the share to advance to must be above {partial.share:g}, which is done, and at most 1, "
                    f"got {share:g}"
                )
        batches = plan_batches(
            list(enumerate(partials)),
            lambda item: (item[1].kind, item[1].seconds, item[1].step),
            self.batch_size,
        )
        found: dict[int, Partial] = {}
        for batch in batches:
            places, begun = zip(*batch, strict=True)
            # not a step more where the share of a step is a rounded number
            stop = math.ceil(share * begun[0].steps - _ROUNDING)
            found |= zip(places, self._advanced(begun, max(stop, begun[0].step + 1)), strict=True)
        return [found[place] for place in range(len(partials))]

    def copy(self, partial: Partial, n: int) -> list[Partial]:
        """Return a candidate and n - 1 copies of it; see `generators.stepping.Stoppable.copy`."""
        if n < 1:
            raise InputError(f"there must be at least 1 copy, the candidate itself, got {n}")
        seeds = [copy_seed(partial.seed, partial.step, index) for index in range(1, n)]
        return [partial, *(replace(partial, seed=seed, stream=stream_of(seed)) for seed in seeds)]

    def preview(self, partial: Partial) -> Clip:
        """Return what can be heard of a candidate so far; see `generators.stepping.Stoppable.preview`."""
        tokens, samples = self._heard(partial)
        return self._clip(tokens, samples)

    def finish(self, partial: Partial) -> Sample:
        """Return the sample of a candidate whose work is done; see `generators.stepping.Stoppable.finish`."""
        if partial.step < partial.steps:
            raise InputError(
                f"a candidate is finished when all of its work is done, got {partial.share:g} of it"
            )
        tokens, samples = self._heard(partial)
        return Sample(partial.job, self._clip(tokens, samples), self._kept(tokens))

    def _kinds(self, jobs: Sequence[Job], seconds: float) -> dict[Hashable, Hashable]:
        """Return the kind of all conditions among jobs that are all for this generator, else `InputError`."""
        samples_of(seconds, self)
        kinds: dict[Hashable, Hashable] = {}
        for conditions, prompt in {_conditions_of(job.prompt): job.prompt for job in jobs}.items():
            self._check(prompt, seconds)
            kinds[conditions] = self._kind(prompt, seconds)
        return kinds

    def _advanced(self, batch: Sequence[Partial], stop: int) -> list[Partial]:
        """Return the candidates of one batch, all at one step, after the steps before `stop`."""
        padding = [batch[-1]] * (self._slots - len(batch))
        rows, first = [*batch, *padding], batch[0]
        noise = self._noise([partial.stream for partial in batch], len(rows), first.seconds)
        prompts, states = [partial.job.prompt for partial in rows], [partial.state for partial in rows]
        found = self._work(prompts, first.seconds, states, noise, range(first.step, stop))
        return [
            replace(partial, step=stop, stream=stream, state=state)
            for partial, stream, state in zip(batch, noise.streams, found, strict=True)
        ]

    @property
    def _slots(self) -> int:
        """Rows that a batch is computed with, those of padding included."""
        return slots_of(self.batch_size, self._device, self._dtype)

    @abstractmethod
    def blank_tokens(self, seconds: float) -> torch.Tensor:
        """Return tokens of zeros for a clip of this length, as `decode_tokens` takes them."""

    def further_weights(self, device: str) -> int:
        """Return the bytes of copies of its weights that it makes for its first batch on a type of device alone."""
        return 0

    @abstractmethod
    def decode_tokens(self, tokens: torch.Tensor, seconds: float) -> Clip:
        """Return the clip of given tokens, the same to the bit as when they were sampled.

        Parameters
        ----------
        tokens
            Tokens as `generate` gives them.
        seconds
            Length of the clip, s.

        Raises
        ------
        InputError
            If these are no tokens of this model, or of another length.
        """

    @abstractmethod
    def _check(self, prompt: Prompt, seconds: float) -> None:
        """`InputError` if a prompt is not for this model, or not for clips of this length."""

    def _kind(self, prompt: Prompt, seconds: float) -> Hashable:
        """Return what the prompts of one batch must share."""
        return None

    @abstractmethod
    def _steps(self, seconds: float) -> int:
        """Return the steps that a clip of this length takes."""

    @abstractmethod
    def _noise(self, streams: Sequence[np.random.Generator], slots: int, seconds: float) -> CandidateNoise:
        """Return the noise of candidates; see `generators.shared.noise.CandidateNoise`."""

    @abstractmethod
    def _work(
        self,
        prompts: Sequence[Prompt],
        seconds: float,
        states: Sequence[Mapping[str, Any]],
        noise: Any,
        span: range,
    ) -> list[dict[str, Any]]:
        """Do some steps of a batch.

        Parameters
        ----------
        prompts
            Prompt of each row of the batch, those of padding included, which come last.
        seconds
            Length of each clip, s.
        states
            State of each row before these steps.
        noise
            What `_noise` gives; it knows which rows are padding.
        span
            The steps.

        Returns
        -------
        list of dict
            State of each row that is no padding after these steps.
        """

    @abstractmethod
    def _heard(self, partial: Partial) -> tuple[torch.Tensor, int]:
        """Return the tokens of what can be heard of a candidate, and how many samples they are to give."""

    @abstractmethod
    def _decode(self, tokens: torch.Tensor, samples: int) -> torch.Tensor:
        """Return the audio of the tokens of one clip, `[channels, samples]`."""

    def _kept(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the tokens of one clip as a sample has them."""
        return tokens.to("cpu", copy=True)

    def _clip(self, tokens: torch.Tensor, samples: int) -> Clip:
        with torch.inference_mode(), exact_float32():
            audio = self._decode(tokens, samples)
        # outside of inference mode, so that anybody may go on with the audio
        return Clip(audio.to("cpu", torch.float32, copy=True), self.sample_rate)


def _conditions_of(prompt: Prompt) -> Hashable:
    """Return what of a prompt a generator may look at."""
    return prompt.text, prompt.lyrics, prompt.reference
