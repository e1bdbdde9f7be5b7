"""Stable Audio 3's diffusion transformer with guidance.

It runs the modules of a `StableAudio3DiTModel`. As in `generators.stable_audio_denoiser`, what does not change from
step to step is computed once, and only the blocks may be in bfloat16: `forward` would round rotary positions, which
bfloat16 cannot tell apart beyond 256.
"""

from typing import Any

import torch


class StableAudio3Denoiser:
    """Velocities for one batch of B clips.

    Parameters
    ----------
    transformer
        A `StableAudio3DiTModel` in evaluation mode, all but its blocks in float32.
    context
        Of B rows, or with guidance of 2 B rows, of which guidance leads away from the first B.
    duration
        Of all clips, embedded, `[1, D]`.
    guidance
        Scale of classifier-free guidance; 1 is without.
    frames
        Length of the latents.
    """

    def __init__(
        self,
        transformer: Any,
        context: torch.Tensor,
        duration: torch.Tensor,
        guidance: float,
        frames: int,
    ) -> None:
        self._transformer = transformer
        self._guidance = guidance
        self._dtype = next(transformer.transformer_blocks.parameters()).dtype
        self._context = transformer.to_cond_embed(context).to(self._dtype)
        self._duration = transformer.to_global_embed(duration)
        self._memory: int = transformer.config.num_memory_tokens
        self._rotary = transformer.rotary_pos_emb(self._memory + frames, context.device)

    def predict(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the velocity of latents `[B, channels, frames]` (float32) at a time (scalar in 0 to 1)."""
        model = self._transformer
        if self._guidance != 1:
            latents = torch.cat([latents, latents])
        moment = model.to_timestep_embed(model.timestep_features(time.float().view(1, 1)))
        modulation = model.global_cond_embedder(self._duration + moment).to(self._dtype)
        hidden = model.proj_in((model.preprocess_conv(latents) + latents).transpose(1, 2))
        if self._memory:
            hidden = torch.cat([model.memory_tokens.expand(len(hidden), -1, -1), hidden], dim=1)
        hidden = hidden.to(self._dtype)
        for block in model.transformer_blocks:
            hidden = block(hidden, context=self._context, global_modulation=modulation, rope=self._rotary)
        found = model.proj_out(hidden[:, self._memory :].float()).transpose(1, 2)
        found = model.postprocess_conv(found) + found
        if self._guidance != 1:
            away, towards = found.chunk(2)
            found = away + self._guidance * (towards - away)
        return found
