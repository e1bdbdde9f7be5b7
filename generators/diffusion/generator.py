"""What all generators by diffusion share: a stream of noise for each candidate, latents as tokens."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from generators.diffusion.latent_decoder import OobleckDecoder
from generators.diffusion.pipeline_folder import PipelineFormat
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise, State
from generators.protocol import Job, samples_of
from generators.shared.batch_generator import BatchGenerator
from generators.shared.noise import stream_of
from generators.stepping import Partial
from music.clips import Clip
from music.devices import exact_float32
from music.errors import InputError
from music.prompts import Prompt

P = TypeVar("P", bound="PipelineGenerator")


class DiffusionGenerator(BatchGenerator):
    """A generator that turns noise into latents and latents into a clip.

    Its tokens are the latents, `[channels, frames]` (`[channels, frames, bands]` where they are of a spectrogram),
    float32. The audio of a clip is as the decoder makes it; peaks above 1 are scaled down when it is written
    (`music.clips.write_clip`).

    It can be stopped half-way (`generators.stepping.LatentStoppable`); the state of a candidate is its row of a
    `generators.diffusion.sampling.State`, and a preview is what the last prediction of its clean latents decodes to.

    Parameters
    ----------
    options
        How noise becomes music, a `DiffusionOptions`.
    name, weights, batch_size, device, dtype
        See `generators.shared.batch_generator.BatchGenerator`.

    Raises
    ------
    InputError
        If the batch size is below 1, or an option or the negative prompt is not for this model.
    """

    options: DiffusionOptions
    _conditioner: Any  # its check(text, name) refuses a text that is longer than the model takes
    _decoder: OobleckDecoder

    def decode_tokens(self, tokens: torch.Tensor, seconds: float) -> Clip:
        """Return the clip of given latents; see `generators.shared.batch_generator.BatchGenerator.decode_tokens`."""
        return self._clip(self._checked(tokens, seconds), samples_of(seconds, self))

    def begin(
        self, jobs: Sequence[Job], seconds: float, noise: Sequence[torch.Tensor] | None = None
    ) -> list[Partial]:
        """Return the beginning of each job; see `generators.stepping.LatentStoppable.begin`."""
        begun = super().begin(jobs, seconds)
        own = self._noise([partial.stream for partial in begun], len(begun), seconds)
        drawn = own.draw()
        if noise is not None:
            if len(noise) != len(jobs):
                raise InputError(f"each job starts from one noise, got {len(noise)} for {len(jobs)}")
            drawn = torch.stack([self._checked(each, seconds) for each in noise]) if noise else drawn
        return [
            replace(partial, stream=stream, state={"latents": row.detach().clone(), "gap": row.new_zeros(())})
            for partial, stream, row in zip(begun, own.streams, self._begun(drawn), strict=True)
        ]

    def noise(self, job: Job, seconds: float) -> torch.Tensor:
        """Return the noise that a job starts from; see `generators.stepping.LatentStoppable.noise`."""
        return self._noise([stream_of(job.seed)], 1, seconds).draw()[0]

    def latents(self, partial: Partial) -> torch.Tensor:
        """Return the noisy latents of a candidate; see `generators.stepping.LatentStoppable.latents`."""
        return partial.state["latents"].clone()  # whoever changes it changes no candidate

    def with_latents(self, partial: Partial, latents: torch.Tensor) -> Partial:
        """Return a candidate with other latents; see `generators.stepping.LatentStoppable.with_latents`."""
        own = self._checked(latents, partial.seconds).detach().clone()
        return replace(partial, state={**partial.state, "latents": own})

    def clean_latents(self, partial: Partial) -> torch.Tensor:
        """Return the predicted clean latents; see `generators.stepping.LatentStoppable.clean_latents`."""
        return self._heard(partial)[0].clone()

    def scales(self, partial: Partial) -> tuple[float, float]:
        """Return how much of music and of noise there is; see `generators.stepping.LatentStoppable.scales`."""
        return self._scales(partial.step)

    def perturb(self, partial: Partial, strength: float) -> Partial:
        """Return a candidate with some noise replaced; see `generators.stepping.LatentStoppable.perturb`."""
        if not 0 < strength <= 1:
            raise InputError(f"the strength of a perturbation must be above 0 and at most 1, got {strength}")
        latents, (music, level) = self.latents(partial), self.scales(partial)
        mean = music * self.clean_latents(partial) if partial.step else torch.zeros_like(latents)
        noise = self._noise([partial.stream], 1, partial.seconds)
        kept = math.sqrt(1 - strength**2) * (latents - mean)
        changed = self.with_latents(partial, mean + kept + strength * level * noise.draw()[0])
        return replace(changed, stream=noise.streams[0])

    def guidance_gap(self, partial: Partial) -> float:
        """Return how far guidance led; see `generators.stepping.LatentStoppable.guidance_gap`."""
        if self.options.guidance == 1:
            raise InputError(f"{self.name} samples without guidance: give a --guidance above 1")
        return float(partial.state["gap"])

    def render(self, job: Job, seconds: float, noise: torch.Tensor) -> torch.Tensor:
        """Return the audio of a job made from given noise; see `generators.stepping.LatentStoppable.render`."""
        (begun,) = super().begin([job], seconds)
        own = self._noise([begun.stream], 1, seconds)
        start = self._checked(noise, seconds)[None]
        own.draw()  # what it would have started from
        state = {"latents": self._begun(start), "gap": start.new_zeros(1)}
        with exact_float32():
            self._denoise([job.prompt], seconds, state, own, range(begun.steps))
            return self._decode(state["latents"][0], samples_of(seconds, self))

    def _checked(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return latents of a clip of this length as the model takes them, else `InputError`."""
        shape = self._latent_shape(samples_of(seconds, self))
        if tuple(latents.shape) != shape or not latents.is_floating_point():
            found = f"{list(latents.shape)} in {str(latents.dtype).removeprefix('torch.')}"
            raise InputError(f"latents of {self.name} are floats {list(shape)}, got {found}")
        if not bool(latents.isfinite().all()):
            raise InputError(f"latents of {self.name} hold NaN or infinity")
        return latents.to(self._device, torch.float32)

    def blank_tokens(self, seconds: float) -> torch.Tensor:
        """Return latents of zeros; see `generators.shared.batch_generator.BatchGenerator.blank_tokens`."""
        return torch.zeros(self._latent_shape(samples_of(seconds, self)))

    @abstractmethod
    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        """Return the shape of the latents of a clip."""

    @abstractmethod
    def _scales(self, step: int) -> tuple[float, float]:
        """Return how much of music and of noise latents are before a step; see `scales`."""

    @abstractmethod
    def _denoise(
        self, prompts: Sequence[Prompt], seconds: float, state: State, noise: GaussianNoise, span: range
    ) -> None:
        """Do some of the steps of a batch: change its state."""

    def _begun(self, noise: torch.Tensor) -> torch.Tensor:
        """Return the latents before the first step, of noise of deviation 1."""
        return noise

    def _steps(self, seconds: float) -> int:
        return self.options.steps

    def _noise(self, streams: Sequence[np.random.Generator], slots: int, seconds: float) -> GaussianNoise:
        return GaussianNoise(streams, self._latent_shape(samples_of(seconds, self)), slots, self._device)

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt.text, f"prompt {prompt.id!r}: its text")

    def _work(
        self,
        prompts: Sequence[Prompt],
        seconds: float,
        states: Sequence[Mapping[str, Any]],
        noise: GaussianNoise,
        span: range,
    ) -> list[dict[str, Any]]:
        with torch.inference_mode(), exact_float32():
            state = {name: torch.stack([each[name] for each in states]) for name in states[0]}
            self._denoise(prompts, seconds, state, noise, span)
        rows = len(noise.streams)
        if not bool(state["latents"][:rows].isfinite().all()):
            raise InputError("the generator computes NaN or infinity: its weights are damaged")
        if span.stop == self.options.steps:
            state = {name: state[name] for name in ("latents", "gap")}
        # outside of inference mode, so that anybody may go on with them
        return [{name: part[row].clone() for name, part in state.items()} for row in range(rows)]

    def _heard(self, partial: Partial) -> tuple[torch.Tensor, int]:
        if not partial.step:
            raise InputError(f"nothing of a clip of {self.name} can be heard before the first step")
        found = partial.state["latents" if partial.step == partial.steps else "clean"]
        return found, samples_of(partial.seconds, self)

    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        return self._decoder.decode(latents, samples)


class PipelineGenerator(DiffusionGenerator):
    """A generator whose parts lie in a folder in the format of diffusers.

    Parameters
    ----------
    parts
        Parts of the pipeline by name, as `generators.diffusion.pipeline_folder.PipelineFormat.load` gives them.
    folder
        Where they were loaded from.
    name, weights, options, batch_size
        See `DiffusionGenerator`.

    Attributes
    ----------
    FORMAT
        What the folder consists of.
    DEFAULTS
        How it samples where nothing is given: as diffusers' pipeline does.

    Raises
    ------
    InputError
        If the batch size is below 1, or an option or the negative prompt is not for this model.
    """

    backend = "diffusers"
    libraries = ("diffusers", "numpy", "torch", "transformers")
    FORMAT: ClassVar[PipelineFormat]
    DEFAULTS: ClassVar[DiffusionOptions]

    def __init__(
        self,
        name: str,
        parts: Any,
        weights: str,
        options: DiffusionOptions,
        batch_size: int,
        folder: Path | None = None,
    ) -> None:
        worker = next(self.FORMAT.worker_of(parts).parameters())
        super().__init__(name, weights, options, batch_size, worker.device, worker.dtype)
        self.folder = folder
        self._parts = parts
        self._prepare(parts)
        if options.negative_prompt:
            self._conditioner.check(options.negative_prompt, "the negative prompt")

    @abstractmethod
    def _prepare(self, parts: Any) -> None:
        """Set sample rate, channels, longest clip, conditioner and whatever else the parts decide."""

    @classmethod
    def load(
        cls: type[P],
        name: str,
        folder: Path,
        device: torch.device,
        dtype: torch.dtype,
        given: Mapping[str, Any],
        batch_size: int,
    ) -> P:
        """Load a model; see `generators.diffusion.backend.load_diffusers`."""
        options = cls.sampling_of(name, folder, given)  # refused before gigabytes are loaded
        parts = cls.FORMAT.load(folder, device, dtype)
        return cls(name, parts, cls.FORMAT.hash(folder), options, batch_size, folder)

    @classmethod
    def sampling_of(cls, name: str, folder: Path, given: Mapping[str, Any]) -> DiffusionOptions:
        """Return how a model samples: as given, otherwise by its defaults.

        Raises
        ------
        InputError
            If the model cannot follow an option.
        """
        return replace(cls.DEFAULTS, **given)
