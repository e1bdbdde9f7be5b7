"""The batches that a Stable Audio learns from: clips of a pool with noise.

Latents come from the pool, as they were sampled; nothing is encoded again. In each step every clip of a batch gets a
noise level and noise, which depend on seed, step and place alone, so that neither a kill nor another number of
processes changes what is learned; the two clips of a pair share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from generators.stable_audio.diffusers.conditioning import StableAudioConditioner
from generators.stable_audio.diffusers.loading import StableAudioParts
from generators.stable_audio.velocity_target import draw_sigmas, noisy_and_target
from rlhf.choosing import turns_of
from rlhf.options import Optimisation
from rlhf.streams import Purpose, normal, stream


@dataclass(frozen=True, eq=False)
class Example:
    """What is learned from at a time.

    Attributes
    ----------
    text
        Text that the clip was made for.
    latents
        Latents of the clip, `[channels, frames]`.
    loser
        Latents of a worse one; None outside of preferences.
    optimality
        Optimality of the clip for `rlhf.stable_audio.losses.forward_process`, 0 to 1.
    """

    text: str
    latents: torch.Tensor
    loser: torch.Tensor | None = None
    optimality: float = 1.0


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips with noise: a process's share of a step. Of pairs, all winners come first, then all losers.

    Attributes
    ----------
    noisy, target
        What the transformer is shown and should predict, `[B, channels, frames]`.
    sigmas
        Noise levels, `[B]`.
    attended, prepended
        What it is conditioned on; see `generators.stable_audio.diffusers.conditioning.Conditions`.
    optimality
        Optimality of each example.
    """

    noisy: torch.Tensor
    target: torch.Tensor
    sigmas: torch.Tensor
    attended: torch.Tensor
    prepended: torch.Tensor
    optimality: torch.Tensor


class Batches:
    """The examples of each step, with their noise.

    Parameters
    ----------
    examples
        Examples, from which all steps draw.
    parts
        Parts of the pipeline, for texts and noise levels.
    seconds
        Length of the clips, s.
    optimisation
        How weights are learned: steps, batch size and seed.
    hidden
        Share of clips whose text is not shown.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        parts: StableAudioParts,
        seconds: float,
        optimisation: Optimisation,
        hidden: float = 0.0,
    ) -> None:
        self._examples, self._optimisation, self._hidden = examples, optimisation, hidden
        order = stream(optimisation.seed, Purpose.ORDER)
        self._turns = turns_of(range(len(examples)), optimisation.steps * optimisation.batch_size, order)
        self._conditioner = StableAudioConditioner(
            parts.tokenizer, parts.text_encoder, parts.projection_model
        )
        self._seconds, self._device = seconds, parts.transformer.device
        config = parts.scheduler.config
        self._levels = (config.sigma_min, config.sigma_max)

    def of(self, step: int, places: Sequence[int]) -> Batch:
        """Return some places of a step's batch."""
        size, seed = self._optimisation.batch_size, self._optimisation.seed
        chosen = [self._examples[self._turns[step * size + place]] for place in places]
        sigmas = draw_sigmas(stream(seed, Purpose.LEVELS, step), size, *self._levels)[list(places)]
        hidden = torch.from_numpy(stream(seed, Purpose.HIDDEN, step).random(size) < self._hidden)[
            list(places)
        ]
        noise = torch.stack(
            [
                normal(stream(seed, Purpose.NOISE, step, place), one.latents.shape)
                for place, one in zip(places, chosen, strict=True)
            ]
        )
        conditions = self._conditioner.batch([one.text for one in chosen], self._seconds, "", guided=False)
        attended = conditions.attended.clone() * ~hidden[:, None, None].to(self._device)
        prepended = conditions.prepended.clone()
        clean = torch.stack([one.latents.float() for one in chosen])
        losers = [one.loser.float() for one in chosen if one.loser is not None]
        if losers:
            clean = torch.cat([clean, torch.stack(losers)])
            noise, sigmas = noise.repeat(2, 1, 1), sigmas.repeat(2)
            attended, prepended = attended.repeat(2, 1, 1), prepended.repeat(2, 1, 1)
        noisy, target = noisy_and_target(clean, noise, sigmas)
        optimality = torch.tensor([one.optimality for one in chosen], device=self._device)
        noisy, target, sigmas = (part.to(self._device) for part in (noisy, target, sigmas))
        return Batch(noisy, target, sigmas, attended, prepended, optimality)
