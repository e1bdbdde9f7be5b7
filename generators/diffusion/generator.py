"""What all generators by diffusion share: a stream of noise a candidate, latents as tokens."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict

import torch

from generators.diffusion.sampling import DiffusionOptions, GaussianNoise
from generators.protocol import samples_of
from generators.shared.batch_generator import BatchGenerator
from music.clips import Clip
from music.errors import InputError
from music.prompts import Prompt


class DiffusionGenerator(BatchGenerator):
    """A generator that turns noise into latents and latents into a clip.

    Its tokens are the latents, `[channels, frames]` (`[channels, frames, bands]` where they are of a spectrogram),
    float32. The audio of a clip is as the decoder makes it; peaks above 1 are scaled down when it is written
    (`music.clips.write_clip`).

    Parameters
    ----------
    options
        How noise becomes music.
    name, weights, batch_size, sampler, device, dtype
        As in `generators.shared.batch_generator.BatchGenerator`.

    Raises
    ------
    InputError
        If the batch size is below 1.
    """

    backend = "diffusers"
    libraries: tuple[str, ...] = ("diffusers", "numpy", "torch", "transformers")

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
        super().__init__(name, weights, asdict(options), batch_size, sampler, device, dtype)
        self.options = options

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

    @torch.inference_mode()
    def _sample(
        self, seeds: Sequence[int], prompts: Sequence[Prompt], seconds: float, samples: int
    ) -> torch.Tensor:
        noise = GaussianNoise(seeds, self._latent_shape(samples), len(prompts), self._device)
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            latents = self._denoise(prompts, seconds, noise)[: len(seeds)]
        if not bool(latents.isfinite().all()):
            raise InputError("the generator computes NaN or infinity: its weights are damaged")
        return latents
