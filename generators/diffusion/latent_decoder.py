"""From latents to audio, without decoding what nobody hears.

Stable Audio always makes latents of its full length, and a clip is their beginning. An Oobleck decoder is
convolutional: samples depend on a few frames around them, so that the frames far beyond the end of a clip need not
be decoded.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

_DILATIONS = (1, 3, 9)  # of the residual units of a block, kernel 7
_REACH = 3  # samples on each side that a kernel of 7 sees


class OobleckDecoder:
    """An Oobleck decoder of any library.

    Parameters
    ----------
    whole
        Function that decodes all there is: `[1, channels, frames]` to `[1, audio channels, samples]`, float32.
    strides
        Strides of the autoencoder, first that next to the audio.
    """

    def __init__(self, whole: Callable[[torch.Tensor], torch.Tensor], strides: Sequence[int]) -> None:
        self._whole = whole
        self._strides = list(strides)  # the last of the decoder comes first

    def samples_of(self, frames: int) -> int:
        """Return how many samples so many frames decode to."""
        length = frames
        for stride in reversed(self._strides):
            length = (length + 1) * stride - 2 * math.ceil(stride / 2)
        return length

    def frames_for(self, samples: int) -> int:
        """Return how many frames the first so many samples depend on, were the latents long enough."""
        last = samples - 1 + _REACH
        for stride in self._strides:
            last += _REACH * sum(_DILATIONS)
            last = (last + math.ceil(stride / 2)) // stride
        return last + _REACH + 1

    def decode(self, latents: torch.Tensor, samples: int) -> torch.Tensor:
        """Return the first so many samples, `[channels, samples]`, of latents `[channels, frames]`."""
        heard = latents[None, :, : self.frames_for(samples)]
        return self._whole(heard.float())[0, :, :samples]


class LatentDecoder(OobleckDecoder):
    """The decoder of an `AutoencoderOobleck` of diffusers.

    Parameters
    ----------
    vae
        The autoencoder, in evaluation mode and float32.
    """

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        super().__init__(lambda latents: vae.decode(latents).sample, vae.config.downsampling_ratios)
