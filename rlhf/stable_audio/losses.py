"""What a diffusion transformer learns from judged clips, by the squared error of its velocity.

With x noised clips, v their true velocity (`generators.stable_audio.velocity_target`), f the transformer and f0 the
one before, and all errors means over a clip:

- `error` (expert iteration): |f(x) - v|^2 of the best clips, with f guided as it was when it made them.
- `preference` (Diffusion-DPO, arXiv 2311.12908, eq. 14, whose beta T w(t) is one number here; or its IPO form): of a
  winner w and a loser l with the same noise, -log sigmoid(-beta (dw - dl)), where d = |f(x) - v|^2 - |f0(x) - v|^2; and
  the winner's own error |f(x) - v|^2, without which both may grow, with a weight against that (`rlhf.preferring`).
- `forward_process` (DiffusionNFT, arXiv 2509.16117, eq. 5): r |f+(x) - v|^2 + (1 - r) |f-(x) - v|^2, where
  f+ = (1 - beta) f0 + beta f and f- = (1 + beta) f0 - beta f, and r in [0, 1] is how good the clip is for its prompt.
  No likelihood is needed, nor the path on which the clip was sampled.

What imitates does so with guidance, as it samples: without, it would learn what guidance had added to its clips, its
next clips would be guided twice, and so on. The other losses ask how clips differ that were all guided alike; they are
computed without guidance, as is usual, at half the cost, and one clip in ten is shown without its text, so that
guidance keeps something to lead away from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from rlhf.preferring import pull_at_start
from rlhf.stable_audio.batches import Batch

_HIDDEN = 0.1  # share of clips whose text is not shown where velocities are not guided


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
    own: float,
) -> torch.Tensor:
    """Return the loss of each pair, `[B]`.

    Parameters
    ----------
    winner, loser
        Errors of the transformer, `[B]`.
    winner_before, loser_before
        Errors of the transformer before, `[B]`.
    loss
        Form of the loss: dpo or ipo.
    beta
        Cost of leaving the transformer before.
    own
        Weight of the winner's own error, against the pull of the preference at the start.
    """
    gap = (winner - winner_before) - (loser - loser_before)
    preferred = -logsigmoid(-beta * gap) if loss == "dpo" else (-gap - 1 / (2 * beta)).square()
    return preferred + own * pull_at_start(loss, beta) * winner


def forward_process(
    predicted: torch.Tensor, before: torch.Tensor, target: torch.Tensor, optimality: torch.Tensor, beta: float
) -> torch.Tensor:
    """Return the loss of each clip, `[B]`.

    Parameters
    ----------
    predicted, before, target
        Velocities of the transformer, of the one before, and the true ones, `[B, channels, frames]`.
    optimality
        r: how good each clip is for its prompt, `[B]`, 0 to 1.
    beta
        Strength of the mixture of the transformer with the one before.
    """
    towards = error((1 - beta) * before + beta * predicted, target)
    away = error((1 + beta) * before - beta * predicted, target)
    return optimality * towards + (1 - optimality) * away


@dataclass(frozen=True)
class VelocityLoss:
    """The loss of an algorithm.

    Attributes
    ----------
    algorithm
        Algorithm: expert_iteration, dpo or nft.
    loss, beta, winner
        Options of `rlhf.options.PostTraining`, or what is usual.
    guidance
        Scale of guidance with which clips are sampled.
    """

    algorithm: str
    loss: str
    beta: float
    winner: float
    guidance: float

    @property
    def own_guidance(self) -> float:
        """Scale of guidance of the velocities that learn."""
        return self.guidance if self.algorithm == "expert_iteration" else 1.0

    @property
    def hidden(self) -> float:
        """Share of clips whose text is not shown."""
        return _HIDDEN if self.own_guidance == 1 else 0.0

    def __call__(
        self, model: Callable[[Batch], torch.Tensor], before: Callable[[Batch], torch.Tensor], clips: Batch
    ) -> dict[str, torch.Tensor]:
        """Return the loss of each example, by ``loss``, and numbers for the log by their names."""
        predicted, old = model(clips), before(clips)
        moved = error(predicted, old).detach()
        own = error(predicted, clips.target)
        if self.algorithm == "nft":
            loss = forward_process(predicted, old, clips.target, clips.optimality, self.beta)
            return {"loss": loss, "error": own.detach(), "moved": moved}
        if self.algorithm == "expert_iteration":
            return {"loss": own, "moved": moved}
        (winner, loser), (winner_old, loser_old) = own.chunk(2), error(old, clips.target).chunk(2)
        loss = preference(winner, loser, winner_old, loser_old, self.loss, self.beta, self.winner)
        margin = ((loser - loser_old) - (winner - winner_old)).detach()
        return {
            "loss": loss,
            "winner": (winner - winner_old).detach(),
            "margin": margin,
            "right": (margin > 0).float(),
            "moved": moved.chunk(2)[0],
        }
