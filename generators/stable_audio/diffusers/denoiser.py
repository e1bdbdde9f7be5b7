"""Stable Audio's diffusion transformer with guidance.

It runs the modules of a `StableAudioDiTModel`, with two differences from its `forward`:

- what does not change from step to step (projections of text and seconds, rotary positions) is computed once;
- only the blocks may be in bfloat16. `forward` would round the time to the numeric type of the model, and near
  the start, where the noise is strongest, neighbouring steps differ by less than bfloat16 can tell.
"""

from typing import Any

import torch

from generators.diffusion.sampling import widen_gap
from generators.stable_audio.diffusers.conditioning import Conditions


class Denoiser:
    """Predictions for one batch of B clips.

    Parameters
    ----------
    transformer
        A `StableAudioDiTModel` in evaluation mode, all but its blocks in float32.
    conditions
        Conditions of B rows, or with guidance of 2 B rows, of which guidance leads away from the first B.
    guidance
        Scale of classifier-free guidance; 1 is without.
    frames
        Length of the latents.
    gap
        Where it is added up how far guidance leads; see `generators.diffusion.sampling.widen_gap`.
    """

    def __init__(
        self,
        transformer: Any,
        conditions: Conditions,
        guidance: float,
        frames: int,
        gap: torch.Tensor | None = None,
    ) -> None:
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        self._transformer = transformer
        self._guidance = guidance
        self._gap = gap
        self._dtype = next(transformer.transformer_blocks.parameters()).dtype
        self._attended = transformer.cross_attention_proj(conditions.attended).to(self._dtype)
        self._prepended = transformer.global_proj(conditions.prepended)
        rotary: Any = get_1d_rotary_pos_embed(
            transformer.config.attention_head_dim // 2,
            frames + 1,
            use_real=True,
            repeat_interleave_real=False,
        )
        self._rotary = tuple(part.to(conditions.attended.device) for part in rotary)

    def predict(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the prediction of the model.

        Parameters
        ----------
        latents
            Latents, scaled as the scheduler says, `[B, channels, frames]`, float32.
        time
            Time of the scheduler, a scalar.
        """
        model = self._transformer
        if self._guidance != 1:
            latents = torch.cat([latents, latents])
        hidden = model.proj_in((model.preprocess_conv(latents) + latents).transpose(1, 2))
        moment = model.timestep_proj(model.time_proj(time.view(1)))
        hidden = torch.cat([self._prepended + moment[:, None], hidden], dim=1).to(self._dtype)
        for block in model.transformer_blocks:
            hidden = block(hidden, encoder_hidden_states=self._attended, rotary_embedding=self._rotary)
        found = model.proj_out(hidden.float())[:, 1:].transpose(1, 2)
        found = model.postprocess_conv(found) + found
        if self._guidance != 1:
            away, towards = found.chunk(2)
            widen_gap(self._gap, towards, away)
            found = away + self._guidance * (towards - away)
        return found
