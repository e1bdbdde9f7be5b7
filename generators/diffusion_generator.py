"""What generators by diffusion share: batches, a stream of noise a candidate, latents as tokens, clip by clip."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

from generators.batching import check_batch_size, plan_batches, slots_of
from generators.diffusion_sampling import DiffusionOptions, GaussianNoise
from generators.protocol import Job, Sample, samples_of
from music.clips import Clip
from music.errors import InputError
from music.prompts import Prompt


class DiffusionGenerator(ABC):
    """A generator that turns noise into latents and latents into a clip; see `generators.protocol.Generator`.

    Its tokens are the latents, float32. The audio of a clip is as the decoder makes it; peaks above 1 are scaled down
    when it is written (`music.clips.write_clip`).

    The weights are taken to stay as they are: after training, make a new one.

    Parameters
    ----------
    name
        As it was asked for.
    weights
        SHA-256 of weights, configurations and tokenizers.
    options
        How noise becomes music.
    batch_size
        Clips denoised at once; fixed, a shorter batch is padded.
    sampler
        Number of the version of our own code; part of the spec.
    device
        Where it runs.
    dtype
        Of the modules that do nearly all the work.

    Attributes
    ----------
    backend, libraries
        What runs it, and the packages whose versions are part of the spec.

    Raises
    ------
    InputError
        If the batch size is below 1.
    """

    backend = "diffusers"
    libraries: tuple[str, ...] = ("diffusers", "numpy", "torch", "transformers")
    accepts = frozenset({"text"})
    sample_rate: int
    channels: int
    max_seconds: float

    def __init__(
        self,
        name: str,
        weights: str,
        options: DiffusionOptions,
        batch_size: int,
        sampler: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        check_batch_size(batch_size)
        self.name = name
        self.options = options
        self.batch_size = batch_size
        self._device = device
        self.spec: Mapping[str, Any] = {
            "weights": weights,
            "backend": self.backend,
            "sampler": sampler,
            "versions": {library: version(library) for library in self.libraries},
            "device": device.type,
            "dtype": str(dtype).removeprefix("torch."),
            "batch_size": batch_size,
            "steps": options.steps,
            "guidance": options.guidance,
            "negative_prompt": options.negative_prompt,
        }

    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        """Split jobs into what is made at once.

        Raises
        ------
        InputError
            If `seconds` or a prompt is not for this generator.
        """
        samples_of(seconds, self)
        prompts = {(job.prompt.text, job.prompt.lyrics, job.prompt.reference): job.prompt for job in jobs}
        for prompt in prompts.values():
            self._check(prompt, seconds)
        return plan_batches(jobs, lambda job: self._kind(job.prompt, seconds), self.batch_size)

    def generate(self, jobs: Sequence[Job], seconds: float) -> Iterator[Sample]:
        """Yield one sample a job, batch by batch; see `generators.protocol.Generator.generate`."""
        return self._generate(self.batches(jobs, seconds), seconds, samples_of(seconds, self))

    def decode_tokens(self, tokens: torch.Tensor, seconds: float) -> Clip:
        """Return the clip of given latents, the same to the bit as when they were sampled.

        Parameters
        ----------
        tokens
            As `generate` gives them.
        seconds
            Length of the clip, s.

        Raises
        ------
        InputError
            If these are no latents of this model, or of another length.
        """
        samples = samples_of(seconds, self)
        shape = self._latent_shape(samples)
        if tuple(tokens.shape) != shape or not tokens.is_floating_point():
            found = f"{list(tokens.shape)} in {str(tokens.dtype).removeprefix('torch.')}"
            raise InputError(f"latents of {self.name} are floats {list(shape)}, got {found}")
        if not bool(tokens.isfinite().all()):
            raise InputError(f"latents of {self.name} hold NaN or infinity")
        return self._clip(tokens.to(self._device, torch.float32), samples)

    @abstractmethod
    def _check(self, prompt: Prompt, seconds: float) -> None:
        """`InputError` if a prompt is not for this model."""

    def _kind(self, prompt: Prompt, seconds: float) -> Hashable:
        """Return what the prompts of one batch must share."""
        return None

    @abstractmethod
    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        """Return the shape of the latents of a clip."""

    @abstractmethod
    def _denoise(self, prompts: Sequence[Prompt], seconds: float, noise: GaussianNoise) -> torch.Tensor:
        """Return the latents of a batch, `[B, *shape]`, float32, from noise of that shape."""

    @abstractmethod
    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        """Return the audio of the latents of one clip, `[channels, samples]`."""

    def _generate(self, batches: Sequence[Sequence[Job]], seconds: float, samples: int) -> Iterator[Sample]:
        for jobs in batches:
            for job, latents in zip(jobs, self._sample(jobs, seconds, samples), strict=True):
                # Clip by clip, so that the audio of latents does not depend on what else was in the batch.
                yield Sample(job, self._clip(latents, samples), latents.to("cpu", copy=True))

    @torch.inference_mode()
    def _sample(self, jobs: Sequence[Job], seconds: float, samples: int) -> torch.Tensor:
        """Return the latents of a batch, `[jobs, *shape]`."""
        slots = slots_of(self.batch_size)
        prompts = [job.prompt for job in (*jobs, *[jobs[-1]] * (slots - len(jobs)))]
        noise = GaussianNoise([job.seed for job in jobs], self._latent_shape(samples), slots, self._device)
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            latents = self._denoise(prompts, seconds, noise)[: len(jobs)]
        if not bool(latents.isfinite().all()):
            raise InputError("the generator computes NaN or infinity: its weights are damaged")
        return latents

    def _clip(self, latents: torch.Tensor, samples: int) -> Clip:
        exact = torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            audio = self._decode(latents, samples)
        # outside of inference mode, so that anybody may go on with the audio
        return Clip(audio.to("cpu", torch.float32, copy=True), self.sample_rate)
