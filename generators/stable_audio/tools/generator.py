"""Stability's models in their own format, through stable-audio-tools: Stable Audio Open Small, Stable Audio Open.

Transformer, conditioners, autoencoder and the solver for Stable Audio Open are the library's. Its function
`generate_diffusion_cond` is not used, because it draws the noise of a whole batch from torch's global stream, which
it reseeds, cuts long texts, decodes the model's full length, and prints. See
`generators.stable_audio.tools.samplers`, `generators.stable_audio.tools.conditioning`,
`generators.diffusion.generator` and `generators.diffusion.latent_decoder` for the parts.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from generators.diffusion.generator import DiffusionGenerator
from generators.diffusion.latent_decoder import OobleckDecoder
from generators.diffusion.sampling import DiffusionOptions, GaussianNoise, asked_options
from generators.shared.batch_generator import check_batch_size
from generators.shared.model_folder import locate, weights_hash
from generators.stable_audio.tools.conditioning import TOTAL, StabilityConditioner
from generators.stable_audio.tools.library import LIBRARIES
from generators.stable_audio.tools.loading import (
    CONFIG,
    download_stability,
    load_stability,
    model_hash,
    read_config,
    text_encoder_of,
)
from generators.stable_audio.tools.samplers import SAMPLERS, Sampler
from music.devices import find_device, find_dtype
from music.prompts import Prompt

# Part of every spec: raise it with any change of our own code that changes the audio of a seed.
SAMPLER = 1


class StabilityAudio(DiffusionGenerator):
    """A model of stable-audio-tools; see `generators.diffusion.generator.DiffusionGenerator`.

    Its tokens are the latents of the model's full length, of which a clip is the beginning: what the transformer was
    trained on.

    Parameters
    ----------
    name
        As it was asked for.
    model
        A `ConditionedDiffusionModelWrapper` in evaluation mode.
    config
        Its ``model_config.json``.
    weights
        SHA-256 of weights, configuration and text encoder.
    options
        How noise becomes music.
    batch_size
        Clips denoised at once; fixed, a shorter batch is padded.

    Raises
    ------
    InputError
        If the batch size is below 1, or the negative prompt too long.
    """

    backend = "stable-audio-tools"
    libraries = ("k-diffusion", "numpy", "stable-audio-tools", "torch", "transformers")

    def __init__(
        self,
        name: str,
        model: Any,
        config: Mapping[str, Any],
        weights: str,
        options: DiffusionOptions,
        batch_size: int,
    ) -> None:
        autoencoder = model.pretransform
        device = next(model.parameters()).device
        dtype = next(model.model.model.transformer.layers.parameters()).dtype
        super().__init__(name, weights, options, batch_size, SAMPLER, device, dtype)
        self.sample_rate = config["sample_rate"]
        self.channels = config["audio_channels"]
        self._model = model
        self._sampler: Sampler = SAMPLERS[model.diffusion_objective]
        self._conditioner = StabilityConditioner(model, device)
        self._conditioner.check(options.negative_prompt, "the negative prompt")
        self._decoder = OobleckDecoder(
            lambda latents: autoencoder.model.decode(latents * autoencoder.scale),
            config["model"]["pretransform"]["config"]["decoder"]["config"]["strides"],
        )
        self._shape = (model.io_channels, config["sample_size"] // autoencoder.downsampling_ratio)
        self.max_seconds = min(
            self._decoder.samples_of(self._shape[1]) / self.sample_rate,
            float(model.conditioner.conditioners[TOTAL].max_val),
        )

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt.text, f"prompt {prompt.id!r}: its text")

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        return self._shape

    def _denoise(self, prompts: Sequence[Prompt], seconds: float, noise: GaussianNoise) -> torch.Tensor:
        options = self.options
        texts = [prompt.text for prompt in prompts]
        inputs = self._conditioner.batch(texts, seconds, options.negative_prompt)

        def predict(latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            return self._model.model(
                latents, times, **inputs, cfg_scale=options.guidance, use_checkpointing=False
            )

        return self._sampler.run(predict, noise, options.steps)

    def _decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        return self._decoder.decode(latents, samples)


def load_stability_audio(
    name: str,
    source: str,
    known: Sequence[str],
    device: str = "auto",
    dtype: str = "float32",
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str | None = None,
    batch_size: int = 4,
) -> StabilityAudio:
    """Load a model of stable-audio-tools.

    Parameters
    ----------
    name, source, known
        What it is called, where it lies, and what else there is; see `generators.shared.model_folder.locate`.
    device, dtype
        As in `generators.registry.load_generator`.
    steps, guidance, negative_prompt
        As in `generators.diffusion.sampling.DiffusionOptions`; steps and guidance that are not given are those of
        `generators.stable_audio.tools.samplers.SAMPLERS`: 8 steps without guidance for Stable Audio Open Small.
    batch_size
        Clips denoised at once.

    Raises
    ------
    InputError
        If an option is out of range, a library is missing, or the model cannot be found or loaded.
    """
    given = asked_options(steps, guidance, negative_prompt)  # refused before anything is downloaded
    check_batch_size(batch_size)
    where, kind = find_device(device), find_dtype(dtype)
    LIBRARIES.check()
    folder = locate(name, source, known, CONFIG, download_stability)
    config = read_config(folder)
    sampler = SAMPLERS[config["model"]["diffusion"].get("diffusion_objective", "v")]
    usual: dict[str, Any] = {"steps": sampler.steps, "guidance": sampler.guidance}
    options = DiffusionOptions(**{**usual, **given})
    text_encoder = text_encoder_of(folder, config, known)
    model = load_stability(folder, config, text_encoder, where, kind)
    weights = model_hash(folder, weights_hash(text_encoder))
    return StabilityAudio(name, model, config, weights, options, batch_size)
