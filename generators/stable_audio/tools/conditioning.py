"""From texts and seconds to what a model of stable-audio-tools is conditioned on, by its own conditioners.

Each distinct text is encoded once and alone, at the one padded length that the model was trained with, so that it
does not depend on the texts beside it, and all texts may share a batch.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from generators.shared.texts import Remembered, check_length

TEXT, START, TOTAL = "prompt", "seconds_start", "seconds_total"  # the conditions that published models know


class StabilityConditioner:
    """The conditioners of a model of stable-audio-tools.

    Encoded texts are remembered: the weights are taken to stay as they are.

    Parameters
    ----------
    model
        A `ConditionedDiffusionModelWrapper` whose conditions are among `TEXT`, `START` and `TOTAL`.
    device
        Where it is.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._conditioners: Mapping[str, Any] = model.conditioner.conditioners
        self.longest: int = self._conditioners[TEXT].max_length
        self._encode = Remembered(self._encode_anew)

    def check(self, text: str, name: str) -> None:
        """`InputError` if a text, called `name` in the message, is longer than the model takes."""
        check_length(self._conditioners[TEXT].tokenizer, text, self.longest, name)

    @torch.no_grad()
    def batch(self, texts: Sequence[str], seconds: float, negative: str) -> dict[str, torch.Tensor]:
        """Return what the transformer takes beside latents and times.

        Parameters
        ----------
        texts
            Texts of B clips, each checked.
        seconds
            Length of all clips, s.
        negative
            Text that guidance leads away from; if empty, it leads away from no conditions.
        """
        inputs = self._model.get_conditioning_inputs(self._conditions(texts, seconds))
        if negative:
            away = self._conditions([negative] * len(texts), seconds)
            inputs |= self._model.get_conditioning_inputs(away, negative=True)
        return {name: value for name, value in inputs.items() if value is not None}

    def _conditions(self, texts: Sequence[str], seconds: float) -> dict[str, list[torch.Tensor]]:
        """Return states and mask by condition, each `[B, ...]`."""
        found = {TEXT: [torch.cat(parts) for parts in zip(*map(self._encode, texts), strict=True)]}
        for name, moment in ((START, 0.0), (TOTAL, float(seconds))):
            if name in self._conditioners:
                parts = self._conditioners[name]([moment], self._device)
                found[name] = [part.expand(len(texts), *part.shape[1:]) for part in parts]
        return found

    def _encode_anew(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a CUDA autocast that has no effect
            states, mask = self._conditioners[TEXT]([text], self._device)
        return states, mask
