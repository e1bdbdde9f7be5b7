"""Stable Audio Open (Evans et al. 2024) in the format of diffusers.

The denoising loop is our own, over the model classes and the scheduler of diffusers: the pipeline draws from
torch's generators, which look at 32 bits of a seed on a CPU, encodes every text anew, cuts long ones, rounds
lengths down, and decodes the model's full length. See `generators.stable_audio_denoiser`,
`generators.stable_audio_conditioning`, `generators.diffusion_sampling` and `generators.latent_decoder` for its
parts.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from generators.batching import check_batch_size, plan_batches, slots_of
from generators.diffusion_sampling import DiffusionOptions, GaussianNoise
from generators.latent_decoder import LatentDecoder
from generators.model_folder import locate
from generators.protocol import Job, Sample, samples_of
from generators.stable_audio_conditioning import StableAudioConditioner
from generators.stable_audio_denoiser import Denoiser, block_dtype
from generators.stable_audio_loading import (
    INDEX,
    StableAudioParts,
    check_extra,
    download_pipeline,
    load_parts,
    pipeline_hash,
)
from music.clips import Clip
from music.devices import find_device, find_dtype
from music.errors import InputError

# Part of every spec: raise it with any change of our own code that changes the audio of a seed.
SAMPLER = 1


class StableAudio:
    """A Stable Audio model; see `generators.protocol.Generator`.

    Its tokens are the latents of the model's full length, `[channels, frames]`, float32, of which a clip is the
    beginning: what the transformer was trained on. The audio of a clip is as the decoder makes it; peaks above 1
    are scaled down when it is written (`music.clips.write_clip`).

    The weights are taken to stay as they are: after training, make a new one.

    Parameters
    ----------
    name
        As it was asked for.
    parts
        Of the pipeline.
    weights
        SHA-256 of weights, configurations and tokenizer.
    options
        How noise becomes music.
    batch_size
        Clips denoised at once; fixed, a shorter batch is padded.

    Raises
    ------
    InputError
        If the batch size is below 1, or the negative prompt too long.
    """

    accepts = frozenset({"text"})

    def __init__(
        self, name: str, parts: StableAudioParts, weights: str, options: DiffusionOptions, batch_size: int
    ) -> None:
        check_batch_size(batch_size)
        self.name = name
        self.sample_rate: int = parts.vae.config.sampling_rate
        self.channels: int = parts.vae.config.audio_channels
        self.options = options
        self.batch_size = batch_size
        self._transformer, self._scheduler = parts.transformer, parts.scheduler
        self._conditioner = StableAudioConditioner(
            parts.tokenizer, parts.text_encoder, parts.projection_model
        )
        self._conditioner.check(options.negative_prompt, "the negative prompt")
        self._decoder = LatentDecoder(parts.vae)
        self._shape = (parts.transformer.config.in_channels, parts.transformer.config.sample_size)
        self.max_seconds = min(
            self._decoder.samples_of(self._shape[1]) / self.sample_rate,
            float(parts.projection_model.config.max_value),
        )
        self.spec: Mapping[str, Any] = {
            "weights": weights,
            "backend": "diffusers",
            "sampler": SAMPLER,
            "versions": _versions(),
            "device": parts.transformer.device.type,
            "dtype": str(block_dtype(parts.transformer)).removeprefix("torch."),
            "batch_size": batch_size,
            "steps": options.steps,
            "guidance": options.guidance,
            "negative_prompt": options.negative_prompt,
        }

    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        """Split jobs into batches; see `generators.protocol.Generator.batches`."""
        samples_of(seconds, self)
        for prompt in {job.prompt.text: job.prompt for job in jobs}.values():
            self._conditioner.check(prompt.text, f"prompt {prompt.id!r}: its text")
        return plan_batches(jobs, lambda job: None, self.batch_size)

    def generate(self, jobs: Sequence[Job], seconds: float) -> Iterator[Sample]:
        """Yield one sample a job, batch by batch; see `generators.protocol.Generator.generate`."""
        return self._generate(self.batches(jobs, seconds), seconds, samples_of(seconds, self))

    def decode_tokens(self, tokens: torch.Tensor, seconds: float) -> Clip:
        """Return the clip of given latents, the same to the bit as when they were sampled.

        Parameters
        ----------
        tokens
            `[channels, frames]`, floats.
        seconds
            Length of the clip, s.

        Raises
        ------
        InputError
            If these are no latents of this model.
        """
        samples = samples_of(seconds, self)
        if tuple(tokens.shape) != self._shape or not tokens.is_floating_point():
            found = f"{list(tokens.shape)} in {str(tokens.dtype).removeprefix('torch.')}"
            raise InputError(f"latents of {self.name} are floats {list(self._shape)}, got {found}")
        if not bool(tokens.isfinite().all()):
            raise InputError(f"latents of {self.name} hold NaN or infinity")
        return self._decode(tokens.to(self._transformer.device, torch.float32), samples)

    def _generate(self, batches: Sequence[Sequence[Job]], seconds: float, samples: int) -> Iterator[Sample]:
        for jobs in batches:
            for job, latents in zip(jobs, self._sample(jobs, seconds), strict=True):
                # Clip by clip, so that the audio of latents does not depend on what else was in the batch.
                yield Sample(job, self._decode(latents, samples), latents.to("cpu", copy=True))

    def _sample(self, jobs: Sequence[Job], seconds: float) -> torch.Tensor:
        """Return the latents of a batch, `[jobs, channels, frames]`."""
        slots, options = slots_of(self.batch_size), self.options
        texts = [job.prompt.text for job in jobs]
        texts += texts[-1:] * (slots - len(jobs))
        conditions = self._conditioner.batch(
            texts, seconds, options.negative_prompt, guided=options.guidance > 1
        )
        denoiser = Denoiser(self._transformer, conditions, options.guidance, self._shape[1])
        noise = GaussianNoise([job.seed for job in jobs], self._shape, slots, self._transformer.device)
        latents = denoise(denoiser, self._scheduler, noise, options.steps)[: len(jobs)]
        if not bool(latents.isfinite().all()):
            raise InputError("the generator computes NaN or infinity: its weights are damaged")
        return latents

    def _decode(self, latents: torch.Tensor, samples: int) -> Clip:
        audio = self._decoder.decode(latents, samples)
        return Clip(audio.to("cpu", torch.float32, copy=True), self.sample_rate)


@torch.inference_mode()
def denoise(denoiser: Denoiser, scheduler: Any, noise: GaussianNoise, steps: int) -> torch.Tensor:
    """Turn noise into latents.

    Parameters
    ----------
    denoiser
        For a batch of B clips.
    scheduler
        A `CosineDPMSolverMultistepScheduler`; what it was doing before is forgotten.
    noise
        For each clip that of the beginning, then that of each step.
    steps
        How many.

    Returns
    -------
    torch.Tensor
        `[B, channels, frames]`, float32.
    """
    latents = noise.draw() * scheduler.init_noise_sigma
    scheduler.set_timesteps(steps, device=latents.device)
    scheduler.set_begin_index(0)
    scheduler.noise_sampler = lambda *_: noise.draw()  # instead of a Brownian tree of the scheduler's own
    with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        for time in scheduler.timesteps:
            prediction = denoiser.predict(scheduler.scale_model_input(latents, time), time)
            latents = scheduler.step(prediction, time, latents).prev_sample
    return latents


def load_stable_audio(
    name: str,
    source: str,
    known: Sequence[str],
    device: str = "auto",
    dtype: str = "float32",
    steps: int = 100,
    guidance: float = 7.0,
    negative_prompt: str = "",
    batch_size: int = 4,
) -> StableAudio:
    """Load a Stable Audio model.

    Parameters
    ----------
    name, source, known
        What it is called, where it lies, and what else there is; see `generators.model_folder.locate`.
    device, dtype
        As in `generators.registry.load_generator`.
    steps, guidance, negative_prompt
        As in `generators.diffusion_sampling.DiffusionOptions`; the defaults are those of diffusers' pipeline.
    batch_size
        Clips denoised at once.

    Raises
    ------
    InputError
        If an option is out of range, a library is missing, or the model cannot be found or loaded.
    """
    options = DiffusionOptions(steps, float(guidance), negative_prompt)
    check_batch_size(batch_size)
    where, kind = find_device(device), find_dtype(dtype)
    check_extra()
    folder = locate(name, source, known, INDEX, download_pipeline)
    parts = load_parts(folder, where, kind)
    return StableAudio(name, parts, pipeline_hash(folder), options, batch_size)


def _versions() -> dict[str, str]:
    import diffusers
    import transformers

    return {
        "diffusers": diffusers.__version__,
        "numpy": np.__version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }
