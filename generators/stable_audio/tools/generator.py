"""Stability's models in their own format, through stable-audio-tools: Stable Audio Open Small, Stable Audio Open.

Transformer, conditioners, autoencoder and the solver for Stable Audio Open are the library's. Its function
`generate_diffusion_cond` is not used, because it draws the noise of a whole batch from torch's global stream, which
it reseeds, cuts long texts, decodes the model's full length, and prints.

It conditions on the text of a prompt and does not look at lyrics and reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from generators.diffusion.generator import DiffusionGenerator
from generators.diffusion.latent_decoder import OobleckDecoder
from generators.diffusion.sampling import (
    DiffusionOptions,
    GaussianNoise,
    State,
    given_options,
    widen_gap,
)
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
from generators.stable_audio.tools.samplers import SAMPLERS
from music.devices import find_device, find_dtype
from music.prompts import Prompt


class StabilityAudio(DiffusionGenerator):
    """A model of stable-audio-tools; see `generators.diffusion.generator.DiffusionGenerator`.

    Its tokens are the latents of the model's full length, of which a clip is the beginning: what the transformer was
    trained on.

    Parameters
    ----------
    model
        A `ConditionedDiffusionModelWrapper` in evaluation mode.
    config
        Its ``model_config.json``.
    name, weights, options, batch_size
        See `generators.diffusion.generator.DiffusionGenerator`.
    """

    sampler = 1
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
        super().__init__(name, weights, options, batch_size, device, dtype)
        self.sample_rate = config["sample_rate"]
        self.channels = config["audio_channels"]
        self._model = model
        self._sampler = SAMPLERS[model.diffusion_objective]
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

    def _latent_shape(self, samples: int) -> tuple[int, ...]:
        return self._shape

    def _begun(self, noise: torch.Tensor) -> torch.Tensor:
        return noise if self._sampler.flow else noise * self._scales(0)[1]

    def _scales(self, step: int) -> tuple[float, float]:
        level = self._sampler.levels(self.options.steps, self._device)[step]
        return (1.0 - level if self._sampler.flow else 1.0), level

    def _denoise(
        self, prompts: Sequence[Prompt], seconds: float, state: State, noise: GaussianNoise, span: range
    ) -> None:
        options = self.options
        texts = [prompt.text for prompt in prompts]
        inputs = self._conditioner.batch(texts, seconds, options.negative_prompt)

        def predict(latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            return self._model.model(
                latents, times, **inputs, cfg_scale=options.guidance, use_checkpointing=False
            )

        def see(module: Any, given: tuple[torch.Tensor], found: torch.Tensor) -> None:
            if options.guidance > 1:
                towards, away = (found + given[0]).chunk(2)
                widen_gap(state["gap"], towards, away)

        # where the library's transformer gives both predictions, before it mixes them
        with self._model.model.model.postprocess_conv.register_forward_hook(see):
            self._sampler.run(predict, state, noise, options.steps, span)


def load_stability_audio(
    name: str,
    source: str,
    device: str = "auto",
    dtype: str = "float32",
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str | None = None,
    batch_size: int = 4,
) -> StabilityAudio:
    """Load a model of stable-audio-tools; see `generators.diffusion.backend.load_diffusers`.

    The default steps and guidance are those of `generators.stable_audio.tools.samplers.SAMPLERS`: 8 steps without
    guidance for Stable Audio Open Small, 100 steps and a guidance of 7 for Stable Audio Open.
    """
    given = given_options(steps, guidance, negative_prompt)  # refused before anything is downloaded
    check_batch_size(batch_size)
    place, kind = find_device(device), find_dtype(dtype)
    LIBRARIES.check()
    folder = locate(name, source, CONFIG, download_stability)
    config = read_config(folder)
    sampler = SAMPLERS[config["model"]["diffusion"].get("diffusion_objective", "v")]
    options = replace(sampler.defaults, **given)
    text_encoder = text_encoder_of(folder, config)
    model = load_stability(folder, config, text_encoder, place, kind)
    weights = model_hash(folder, weights_hash(text_encoder))
    return StabilityAudio(name, model, config, weights, options, batch_size)
