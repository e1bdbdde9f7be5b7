"""What all generators that run a model share: batches of one fixed size, decoded clip by clip.

A job meets the same tensor shapes whatever stands beside it, and the audio of tokens does not depend on what else
was in the batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, ClassVar, TypeVar

import soundfile
import torch

from generators.protocol import Generator, Job, Sample, samples_of
from generators.shared.slots import slots_of
from music.clips import Clip
from music.devices import exact_float32
from music.errors import InputError
from music.prompts import Prompt

T = TypeVar("T")


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
        samples_of(seconds, self)
        kinds: dict[Hashable, Hashable] = {}
        for conditions, prompt in {_conditions_of(job.prompt): job.prompt for job in jobs}.items():
            self._check(prompt, seconds)
            kinds[conditions] = self._kind(prompt, seconds)
        return plan_batches(jobs, lambda job: kinds[_conditions_of(job.prompt)], self.batch_size)

    def make(self, batch: Sequence[Job], seconds: float) -> Iterator[Sample]:
        """Yield the samples of a batch; see `generators.protocol.Generator.make`."""
        samples = samples_of(seconds, self)
        padding = [batch[-1]] * (self._slots - len(batch))
        prompts = [job.prompt for job in (*batch, *padding)]
        sampled = self._sample([job.seed for job in batch], prompts, seconds, samples)
        for job, tokens in zip(batch, sampled, strict=True):
            yield Sample(job, self._clip(tokens, samples), self._kept(tokens))

    @property
    def _slots(self) -> int:
        """Rows that a batch is computed with, those of padding included."""
        return slots_of(self.batch_size, self._device, self._dtype)

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
    def _sample(
        self, seeds: Sequence[int], prompts: Sequence[Prompt], seconds: float, samples: int
    ) -> torch.Tensor:
        """Return the tokens of those prompts of a batch that have a seed, `[seeds, ...]`; they come first."""

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
