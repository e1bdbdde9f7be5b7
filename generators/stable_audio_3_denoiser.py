"""Stable Audio 3's diffusion transformer, with what it is conditioned on and guidance.

It runs the modules of a `StableAudio3DiTModel`. As in `generators.stable_audio_denoiser`, what does not change from
step to step is computed once, and only the blocks may be in bfloat16: `forward` would round rotary positions, which
bfloat16 cannot tell apart beyond 256.
"""

from collections.abc import Sequence
from typing import Any

import torch

from generators.remembered import Remembered
from generators.text_length import check_length

_LONGEST_TEXT = 256  # tokens; what the published models were trained with


class StableAudio3Conditioner:
    """Tokenizer, text encoder and embedding of the duration of a Stable Audio 3 model.

    Each distinct text is encoded once and alone, at the one padded length that the model was trained with; a learned
    vector stands where it is padded.

    Parameters
    ----------
    tokenizer
        Of the text encoder.
    text_encoder
        A `T5GemmaEncoderModel`.
    duration_embedder
        A `StableAudio3DurationEmbedder`.
    padding
        What stands for padding, `[D]`.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any, duration_embedder: Any, padding: Any) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._duration_embedder = duration_embedder
        self._padding = padding
        self._encode = Remembered(self._encode_text)
        self.longest: int = min(tokenizer.model_max_length, _LONGEST_TEXT)

    def check(self, text: str, name: str) -> None:
        """`InputError` if a text, called `name` in the message, is longer than the model takes."""
        check_length(self._tokenizer, text, self.longest, name)

    def context(self, texts: Sequence[str], duration: torch.Tensor) -> torch.Tensor:
        """Return what is attended to: texts and the embedded duration `[1, D]`, `[B, longest + 1, D]`."""
        return torch.stack([torch.cat([self._encode(text), duration]) for text in texts])

    def duration(self, seconds: float) -> torch.Tensor:
        """Return the embedded duration, `[1, D]`."""
        return self._duration_embedder(torch.tensor([float(seconds)], device=self._text_encoder.device))

    def _encode_text(self, text: str) -> torch.Tensor:
        tokens = self._tokenizer(text, padding="max_length", max_length=self.longest, return_tensors="pt")
        ids, mask = (tokens[key].to(self._text_encoder.device) for key in ("input_ids", "attention_mask"))
        states = self._text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[0]
        return torch.where(mask[0, :, None].bool(), states, self._padding)


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
        self._dtype = block_dtype(transformer)
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


def block_dtype(transformer: Any) -> torch.dtype:
    """Return the numeric type of the blocks, which do nearly all the work."""
    return transformer.transformer_blocks[0].ff.proj_in.weight.dtype
