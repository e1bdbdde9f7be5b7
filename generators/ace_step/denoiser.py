"""ACE-Step's diffusion transformer with its kind of guidance.

It runs the modules of an `AceStepTransformer1DModel`, with three differences from its `forward`: what does not change
from step to step is computed once; the padding of conditions is hidden from cross-attention; and only the layers may
be in bfloat16, so that the time stays exact.
"""

from typing import Any, cast

import torch
from torch.nn.functional import pad

from generators.diffusion.sampling import State, widen_gap

_MOMENTUM, _THRESHOLD = -0.75, 2.5  # of the guidance, as in the pipeline


class AceStepDenoiser:
    """Velocities for one batch of B clips.

    Parameters
    ----------
    transformer
        An `AceStepTransformer1DModel` in evaluation mode, all but its layers in float32.
    states, mask
        What is attended to, `[B, S, D]`, and where it holds something, `[B, S]`.
    away
        The condition that guidance leads away from, `[1, 1, D]`.
    source
        The latents that are to be changed, `[frames, channels]`: silence.
    guidance
        Scale of adaptive projected guidance (Sadat et al. 2024); 1 is without.
    state
        State of the batch: guidance goes on with its `momentum`, and adds up its `gap`
        (`generators.diffusion.sampling.widen_gap`).
    """

    def __init__(
        self,
        transformer: Any,
        states: torch.Tensor,
        mask: torch.Tensor,
        away: torch.Tensor,
        source: torch.Tensor,
        guidance: float,
        state: State,
    ) -> None:
        from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        self._transformer = transformer
        self._guidance = guidance
        self._dtype = next(transformer.layers.parameters()).dtype
        self._state = state
        self._momentum = MomentumBuffer(momentum=_MOMENTUM)
        if "momentum" in state:
            self._momentum.running_average = cast(Any, state["momentum"])  # it begins as 0
        if guidance > 1:
            states, mask = torch.cat([states, away.expand_as(states)]), torch.cat([mask, mask])
        self._states = transformer.condition_embedder(states).to(self._dtype)
        self._mask = mask[:, None, None, :].to(states.device)
        context = torch.cat([source, torch.ones_like(source)], dim=-1)  # all of it is to be changed
        self._context = context.expand(len(states), -1, -1)
        length = -(-len(source) // transformer.config.patch_size)
        place = torch.arange(length, device=states.device)
        positions: Any = place.float()  # a tensor is taken as well
        rotary: Any = get_1d_rotary_pos_embed(
            transformer.config.head_dim,
            positions,
            theta=transformer.config.rope_theta,
            use_real=True,
            repeat_interleave_real=False,
        )
        self._rotary = tuple(part.to(self._dtype) for part in rotary)
        near = (place[:, None] - place).abs() <= transformer.config.sliding_window
        self._near = near[None, None]
        self._moment_r = transformer.time_embed_r(torch.zeros(1, device=states.device))

    def predict(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the velocity of latents `[B, channels, frames]` (float32) at a time (scalar in 0 to 1).

        With guidance the state remembers the steps before: the times must be those of one run, in order.
        """
        model, frames = self._transformer, latents.shape[2]
        hidden = latents.transpose(1, 2)
        if self._guidance > 1:
            hidden = torch.cat([hidden, hidden])
        hidden = torch.cat([self._context, hidden], dim=-1).transpose(1, 2)
        hidden = pad(hidden, (0, -frames % model.config.patch_size))
        hidden = model.proj_in_conv(hidden).transpose(1, 2).to(self._dtype)
        moment, modulation = (
            each + other
            for each, other in zip(model.time_embed(time.float().view(1)), self._moment_r, strict=True)
        )
        for kind, layer in zip(model.layer_types, model.layers, strict=True):
            hidden = layer(
                hidden_states=hidden,
                position_embeddings=self._rotary,
                temb=modulation.to(self._dtype),
                attention_mask=self._near if kind == "sliding_attention" else None,
                encoder_hidden_states=self._states,
                encoder_attention_mask=self._mask,
            )
        shift, scale = (model.scale_shift_table + moment[:, None]).chunk(2, dim=1)
        hidden = model.norm_out(hidden.float()) * (1 + scale) + shift
        found = model.proj_out_conv(hidden.transpose(1, 2))[:, :, :frames]
        return self._guide(found) if self._guidance > 1 else found

    def _guide(self, found: torch.Tensor) -> torch.Tensor:
        from diffusers.guiders.adaptive_projected_guidance import normalized_guidance

        towards, away = found.chunk(2)
        widen_gap(self._state["gap"], towards, away)
        guided = normalized_guidance(
            towards,
            away,
            self._guidance - 1,
            self._momentum,
            eta=0.0,
            norm_threshold=_THRESHOLD,
            use_original_formulation=True,
            norm_dim=(2,),  # time
        )
        self._state["momentum"] = self._momentum.running_average
        return guided
