"""What a diffusion transformer learns from judged clips, by the squared error of its velocity.

With x noised clips, v their true velocity (`generators.stable_audio.velocity_target`), f the transformer and f0 the
one before, and all errors means over a clip:

- `error` (expert iteration): |f(x) - v|^2 of the best clips, with f guided as it was when it made them.
- `preference` (Diffusion-DPO, arXiv 2311.12908, eq. 14; or its IPO form): of a winner w and a loser l with the same
  noise, -log sigmoid(-beta (dw - dl)), where d = |f(x) - v|^2 - |f0(x) - v|^2; and a share of the winner's own error,
  without which both may grow (as arXiv 2412.21037 has it).
- `forward_process` (DiffusionNFT, arXiv 2509.16117, eq. 5): r |f+(x) - v|^2 + (1 - r) |f-(x) - v|^2, where
  f+ = (1 - beta) f0 + beta f and f- = (1 + beta) f0 - beta f, and r in [0, 1] is how good the clip is for its prompt.
  No likelihood is needed, nor the path on which the clip was sampled.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid


def error(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of each clip, `[B]`, of `[B, channels, frames]`."""
    return (predicted - target).square().mean(dim=(1, 2))


def preference(
    winner: torch.Tensor,
    loser: torch.Tensor,
    winner_before: torch.Tensor,
    loser_before: torch.Tensor,
    loss: str,
    beta: float,
    share: float,
) -> torch.Tensor:
    """Return the loss of each pair, `[B]`.

    Parameters
    ----------
    winner, loser
        Errors of the transformer, `[B]`.
    winner_before, loser_before
        Of the one before.
    loss
        dpo or ipo.
    beta
        How dear it is to leave the one before.
    share
        Weight of the winner's own error.
    """
    gap = (winner - winner_before) - (loser - loser_before)
    preferred = -logsigmoid(-beta * gap) if loss == "dpo" else (-gap - 1 / (2 * beta)).square()
    return preferred + share * winner


def forward_process(
    predicted: torch.Tensor, before: torch.Tensor, target: torch.Tensor, good: torch.Tensor, beta: float
) -> torch.Tensor:
    """Return the loss of each clip, `[B]`.

    Parameters
    ----------
    predicted, before, target
        Velocities of the transformer, of the one before, and the true ones, `[B, channels, frames]`.
    good
        r of each clip, `[B]`, in [0, 1].
    beta
        How far the transformer stands from the one before that it is mixed with.
    """
    towards = error((1 - beta) * before + beta * predicted, target)
    away = error((1 + beta) * before - beta * predicted, target)
    return good * towards + (1 - good) * away
