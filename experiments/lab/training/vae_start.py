"""The lab's `AutoencoderOobleck` before its training: a lapped cosine transform of which the strongest part is kept.

Trained from random weights, such an autoencoder spends its first hours on finding sines. Here the two strided
convolutions of the encoder start as the two stages of a lapped cosine transform (the sine window of Princen & Bradley
1986: analysis and its transpose give the signal back), whose coefficients are reduced to their principal components;
the transposed convolutions of the decoder undo it. So the untrained model passes what is low and loud, phase
included, and training has to find the rest.

- **Latents**: the first are principal components of the coefficients; the last, `envelopes` in number, tell how loud
  groups of the higher bands are: a Snake squares them, and the decoder can learn to fill the bands in. All have mean 0
  and deviation 1, which the diffusion expects.
- **Snakes** on the way are nearly linear at first, but with a period of one, so that they can become useful.
- **Residual units** each end with a weight of zero, so they pass their input on. Those of the encoder and two of the
  decoder's three next to the audio would be most of the arithmetic of the model, and stay idle
  (`set_aside_idle_units`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.lab.world.rendering import SAMPLE_RATE
from music.library_repairs import repair_torchaudio

GAIN = 5.0  # brings songs to about deviation 1
NOISE = 0.1  # deviation of the latents' noise at first
LINEAR = -10.0  # logarithm of a frequency at which a Snake passes its input
FAINT = 3.0  # logarithm of what divides the bend of a nearly linear Snake
LOW_BANDS = 0.1  # share of the bands that need no envelope: the principal components hold them


@dataclass(frozen=True)
class VaeShape:
    """Sizes of the autoencoder.

    Attributes
    ----------
    latent
        Channels of the latents; the encoder has twice as many everywhere.
    envelopes
        Number of them that start as loudness of higher bands.
    bands
        Stride next to the audio, which is the number of bands of the first stage; even.
    stride
        Stride of the second stage; even. A latent frame is `bands * stride` samples.
    decoder
        Channels of the decoder, at least `latent` and `bands`.
    """

    latent: int = 48
    envelopes: int = 8
    bands: int = 20
    stride: int = 16
    decoder: int = 48

    def __post_init__(self) -> None:
        """Refuse sizes for which the start does not exist."""
        if self.bands % 2 or self.stride % 2:
            raise ValueError("bands and stride must be even")
        if 2 * self.latent < 3 * self.bands or self.decoder < max(self.latent, self.bands):
            raise ValueError("latent and decoder must have room for the bands")

    @property
    def hop(self) -> int:
        """Samples of a latent frame."""
        return self.bands * self.stride


def lapped_basis(bands: int, wave: Callable[..., np.ndarray] = np.cos) -> torch.Tensor:
    """Return the basis of a lapped transform with a sine window, orthonormal with `np.cos`: [bands, 2 bands]."""
    time, band = np.arange(2 * bands) + 0.5, np.arange(bands)[:, None] + 0.5
    window = np.sin(np.pi * time / (2 * bands))
    basis = np.sqrt(2 / bands) * window * wave(np.pi / bands * (time + bands / 2) * band)
    return torch.from_numpy(basis).float()


def build_vae(shape: VaeShape, audio: torch.Tensor) -> Any:
    """Return the `AutoencoderOobleck` as it is before training.

    Parameters
    ----------
    audio
        Songs to take the principal components of, [N, samples]; whole latent frames.
    """
    repair_torchaudio()
    from diffusers import AutoencoderOobleck

    vae: Any = AutoencoderOobleck(
        encoder_hidden_size=2 * shape.latent,
        downsampling_ratios=[shape.bands, shape.stride],
        channel_multiples=[1, 1],
        decoder_channels=shape.decoder,
        decoder_input_channels=shape.latent,
        audio_channels=1,
        sampling_rate=SAMPLE_RATE,
    )
    with torch.no_grad():
        for layer in vae.modules():
            if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)) and layer.bias is not None:
                layer.bias.zero_()
        for unit in _residual_units(vae).values():
            unit.conv2.weight_g.zero_()
        loudness, components, deviations = _statistics(shape, audio)
        _start_encoder(vae.encoder, shape, loudness, components / deviations)
        _start_decoder(vae.decoder, shape, components * deviations)
        for layer in (vae.encoder.conv1, vae.encoder.block[0]):
            layer.requires_grad_(False)  # the bands stay bands
    idle = set_aside_idle_units(vae)
    normalise_latents(vae, encoded(vae, audio))
    put_back_units(vae, idle)
    return vae


def encoded(vae: Any, audio: torch.Tensor, at_once: int = 4) -> torch.Tensor:
    """Return the latents [N, channels, frames] of audio [N, samples], without their noise."""
    with torch.no_grad():
        parts = [vae.encode(part[:, None]).latent_dist.mode() for part in audio.split(at_once)]
    return torch.cat(parts)


def thin_encoder(vae: Any) -> nn.Module:
    """Return the encoder without its idle units and the channels that its first convolution leaves silent, all but one.

    They are most of the arithmetic. The later layers are those of `vae`, which is without its idle units already.
    """
    encoder = vae.encoder
    front = encoder.block[0]
    live = _weight(encoder.conv1).flatten(1).any(1)
    with torch.no_grad():
        first = _plain(encoder.conv1, _weight(encoder.conv1)[live], encoder.conv1.bias[live])
        second = _plain(front.conv1, _weight(front.conv1)[:, live], front.conv1.bias)
        snake = type(front.snake1)(int(live.sum()))
        snake.alpha.copy_(front.snake1.alpha[:, live])
        snake.beta.copy_(front.snake1.beta[:, live])
    return nn.Sequential(first, snake, second, *encoder.block[1:], encoder.snake1, encoder.conv2)


def _plain(layer: Any, weight: torch.Tensor, bias: torch.Tensor) -> nn.Conv1d:
    """Return a convolution like `layer` with other channels, without weight normalisation."""
    found = nn.Conv1d(
        weight.shape[1], len(weight), layer.kernel_size, stride=layer.stride, padding=layer.padding
    )
    found.load_state_dict({"weight": weight, "bias": bias})
    return found.requires_grad_(False)


def normalise_latents(vae: Any, latents: torch.Tensor) -> None:
    """Change the weights so that channels with the statistics of `latents` [N, channels, frames] are N(0, 1).

    The last convolution of the encoder and the first of the decoder absorb the change; what is decoded stays the same,
    except for the first and last frames, where the decoder pads with zeros.
    """
    mean, deviation = latents.mean((0, 2)), latents.std((0, 2))
    with torch.no_grad():
        last, first = vae.encoder.conv2, vae.decoder.conv1
        # noise is softplus of its channels, nearly their exponential where it is small
        scale = torch.cat([deviation, torch.ones_like(deviation)])
        last.bias.copy_(
            torch.cat([(last.bias[: len(mean)] - mean) / deviation, last.bias[len(mean) :] - deviation.log()])
        )
        _set_weight(last, _weight(last) / scale[:, None, None])
        weight = _weight(first)
        first.bias += (weight * mean[:, None]).sum((1, 2))
        _set_weight(first, weight * deviation[:, None])


def set_aside_idle_units(vae: Any) -> dict[str, nn.Module]:
    """Replace the residual units that pass their input on by identities, and return them by name."""
    units = {name: unit for name, unit in _residual_units(vae).items() if _is_idle(name)}
    put_back_units(vae, dict.fromkeys(units, nn.Identity()))
    return units


def put_back_units(vae: Any, units: dict[str, nn.Module]) -> None:
    """Put units where `set_aside_idle_units` took them from."""
    for name, unit in units.items():
        block, _, place = name.rpartition(".")
        setattr(vae.get_submodule(block), place, unit)


def _residual_units(vae: Any) -> dict[str, Any]:
    return {
        name: unit for name, unit in vae.named_modules() if name.rpartition(".")[2].startswith("res_unit")
    }


def _is_idle(name: str) -> bool:
    return name.startswith("encoder") or name in ("decoder.block.1.res_unit2", "decoder.block.1.res_unit3")


def _statistics(shape: VaeShape, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the loudness of each band [bands], kernels [components, bands, 2 stride] and their deviations."""
    first, second = lapped_basis(shape.bands), lapped_basis(shape.stride)
    bands = functional.conv1d(
        GAIN * audio[:, None], first[:, None], stride=shape.bands, padding=shape.bands // 2
    )
    kernels = second.repeat(shape.bands, 1)[:, None]
    coefficients = functional.conv1d(
        bands, kernels, stride=shape.stride, padding=shape.stride // 2, groups=shape.bands
    )
    rows = coefficients.transpose(1, 2).flatten(0, 1).double()
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    kept = vectors.flip(1)[:, : shape.latent - shape.envelopes].float()
    deviations = values.flip(0)[: kept.shape[1]].clamp(min=1e-12).sqrt().float()
    components = torch.einsum("bqi,qt->ibt", kept.view(shape.bands, shape.stride, -1), second)
    return bands.square().mean((0, 2)).sqrt(), components, deviations[:, None, None]


def _start_encoder(encoder: Any, shape: VaeShape, loudness: torch.Tensor, kernels: torch.Tensor) -> None:
    bands, waves = shape.bands, len(kernels)
    weight = torch.zeros_like(encoder.conv1.weight_v)
    weight[0, 0, 3] = GAIN
    _set_weight(encoder.conv1, weight)

    front, back = encoder.block
    _set_snake(front.snake1, LINEAR)
    weight = torch.zeros_like(front.conv1.weight_v)
    cosines, sines = lapped_basis(bands), lapped_basis(bands, np.sin)
    weight[: 3 * bands, 0] = torch.cat([cosines, cosines, sines])  # the last two are heard as loudness
    _set_weight(front.conv1, weight)

    _set_snake(back.snake1, LINEAR)
    detectors = slice(bands, 3 * bands)
    back.snake1.alpha[0, detectors, 0] = -(2 * loudness.clamp(min=1e-4)).log().repeat(2)
    weight = _weight(back.conv1)  # what stays random are further features, unused at first
    weight[: shape.latent] = 0
    weight[:waves, :bands] = kernels
    window = lapped_basis(shape.stride)[0].abs()
    low = int(LOW_BANDS * bands)
    for row, group in enumerate(np.array_split(np.arange(low, bands), shape.envelopes)):
        for band in group:
            weight[waves + row, [bands + band, 2 * bands + band]] = window / len(group)
    _set_weight(back.conv1, weight)

    _set_snake(encoder.snake1, 0.0, FAINT)
    weight = torch.zeros_like(encoder.conv2.weight_v)
    weight[: shape.latent, : shape.latent, 1] = torch.eye(shape.latent)
    _set_weight(encoder.conv2, weight)
    encoder.conv2.bias[shape.latent :] = float(np.log(np.expm1(NOISE)))


def _start_decoder(decoder: Any, shape: VaeShape, kernels: torch.Tensor) -> None:
    bands, waves = shape.bands, len(kernels)
    weight = torch.zeros_like(decoder.conv1.weight_v)
    weight[: shape.latent, :, 3] = torch.eye(shape.latent)
    _set_weight(decoder.conv1, weight)

    deep, last = decoder.block
    for snake in (deep.snake1, last.snake1, decoder.snake1):
        _set_snake(snake, 0.0, FAINT)
    weight = _weight(deep.conv_t1)  # channels beyond the bands start random
    weight[:, :bands] = 0
    weight[:waves, :bands] = kernels
    _set_weight(deep.conv_t1, weight)
    weight = _weight(last.conv_t1)
    weight[:, 0] = 0
    weight[:bands, 0] = lapped_basis(bands)
    _set_weight(last.conv_t1, weight)
    weight = torch.zeros_like(decoder.conv2.weight_v)
    weight[0, 0, 3] = 1 / GAIN
    _set_weight(decoder.conv2, weight)


def _set_snake(snake: Any, alpha: float, beta: float = 0.0) -> None:
    """Set a Snake, x + sin(x exp alpha)^2 / exp beta."""
    snake.alpha.fill_(alpha)
    snake.beta.fill_(beta)


def _weight(layer: Any) -> torch.Tensor:
    """Return the weight of a layer under weight normalisation."""
    return layer.weight_g * layer.weight_v / layer.weight_v.flatten(1).norm(dim=1)[:, None, None]


def _set_weight(layer: Any, weight: torch.Tensor) -> None:
    """Set the weight of a layer under weight normalisation; a row of zeros keeps a direction to grow in."""
    norm = weight.flatten(1).norm(dim=1)[:, None, None]
    layer.weight_g.copy_(norm)
    layer.weight_v.copy_(torch.where(norm > 0, weight, layer.weight_v))
