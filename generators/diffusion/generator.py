"""What all generators by diffusion share: a stream of noise for each candidate, latents as tokens."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch

from generators.diffusion.latent_decoder import OobleckDecoder
from generators.diffusion.pipeline_folder import PipelineFormat
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise
from generators.protocol import samples_of
from generators.shared.batch_generator import BatchGenerator
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
        samples = samples_of(seconds, self)
        shape = self._latent_shape(samples)
        if tuple(tokens.shape) != shape or not tokens.is_floating_point():
            found = f"{list(tokens.shape)} in {str(tokens.dtype).removeprefix('torch.')}"
            raise InputError(f"latents of {self.name} are floats {list(shape)}, got {found}")
        if not bool(tokens.isfinite().all()):
            raise InputError(f"latents of {self.name} hold NaN or infinity")
        return self._clip(tokens.to(self._device, torch.float32), samples)

    @abstractmethod
    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        """Return the shape of the latents of a clip."""

    @abstractmethod
    def _denoise(self, prompts: Sequence[Prompt], seconds: float, noise: GaussianNoise) -> torch.Tensor:
        """Return the latents of a batch, `[B, *shape]`, float32, from noise of that shape."""

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt.text, f"prompt {prompt.id!r}: its text")

    @torch.inference_mode()
    def _sample(
        self, seeds: Sequence[int], prompts: Sequence[Prompt], seconds: float, samples: int
    ) -> torch.Tensor:
        noise = GaussianNoise(seeds, self._latent_shape(samples), len(prompts), self._device)
        with exact_float32():
            latents = self._denoise(prompts, seconds, noise)[: len(seeds)]
        if not bool(latents.isfinite().all()):
            raise InputError("the generator computes NaN or infinity: its weights are damaged")
        return latents

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
