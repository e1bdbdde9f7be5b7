"""Dropout whose noise belongs to the items of a training step, however they are shared out among processes."""

import torch
from torch import nn
from torch.nn import functional as F


class Noise:
    """Draws noise for all items of a step and keeps that of some.

    Whoever works on a part of the step draws the same numbers and takes its own, so the parts together drop what the
    whole would have dropped. Drawing costs little beside the work on an item.

    Parameters
    ----------
    seed
        Seed of the step.
    places
        Places in the step of the items of the batch, `[B]`.
    total
        Number of items of the step.
    """

    def __init__(self, seed: int, places: torch.Tensor, total: int) -> None:
        self._places, self._total = places, total
        self._generator = torch.Generator(places.device).manual_seed(seed)

    def uniform(self, shape: torch.Size) -> torch.Tensor:
        """Return numbers in [0, 1) of a shape `[B, ...]`; all parts of a step must ask for the same `...`."""
        whole = (self._total, *shape[1:])
        return torch.rand(whole, generator=self._generator, device=self._places.device)[self._places]


class Dropout(nn.Module):
    """Zero a share of the numbers in training, and scale up the others.

    Parameters
    ----------
    chance
        Chance of a number to be dropped, in [0, 1).
    """

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance
        self.noise: Noise | None = None

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self.training and self.chance > 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor `[B, ...]` of the same shape."""
        if not self.active or self.noise is None:
            return F.dropout(x, self.chance, self.training)
        return torch.where(self.noise.uniform(x.shape) < self.chance, 0.0, x / (1 - self.chance))


def lend_noise(module: nn.Module, noise: Noise | None) -> None:
    """Let all dropout within a module draw from `noise`; from torch's own if it is None."""
    for part in module.modules():
        if isinstance(part, Dropout):
            part.noise = noise
