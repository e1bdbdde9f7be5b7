"""MusicGen's decoder one position at a time.

It computes what the modules of a `MusicgenForCausalLM` do, with four savings over its `forward`:

- on a CPU, weights are laid out once for products of so few rows (`generators.packed_linear`);
- keys and values go into buffers that are allocated once, instead of being copied at every step;
- the branch without text skips cross-attention, which adds exactly zero there: the null text is all zeros and
  the projections have no bias;
- guidance is applied before the output heads, which are linear and have no bias, so they run once instead of
  twice: head(u) + g * (head(c) - head(u)) = head(u + g * (c - u)).
"""

from typing import Any

import torch
from torch.nn.functional import embedding, scaled_dot_product_attention

from generators.decoder_weights import DecoderWeights
from generators.text_conditioning import TextBatch

_ALIGNMENT = 16  # positions; every head's keys then start at a multiple of 64 bytes, as for every other head


class IncrementalDecoder:
    """The state of one batch of B clips while it is decoded.

    Parameters
    ----------
    decoder
        A `MusicgenForCausalLM` in evaluation mode.
    text
        What the clips are conditioned on.
    steps
        How many positions there will be.
    guidance
        Scale of classifier-free guidance; 1 runs no branch without text.
    weights
        Those of the decoder, laid out for such batches; made here if they are not given.
    """

    def __init__(
        self,
        decoder: Any,
        text: TextBatch,
        steps: int,
        guidance: float,
        weights: DecoderWeights | None = None,
    ) -> None:
        self._decoder = decoder.model.decoder
        self._text = text
        self._guidance = guidance
        self._batch = text.mask.shape[0]
        self._rows = self._batch * (2 if guidance > 1 else 1)
        self._position = 0
        self._vocabulary = decoder.config.vocab_size
        self._weights = weights or DecoderWeights(decoder, self._batch, guidance > 1)
        attention = self._decoder.layers[0].self_attn
        padded = -(-steps // _ALIGNMENT) * _ALIGNMENT
        shape = (len(self._decoder.layers), 2, self._rows, attention.num_heads, padded, attention.head_dim)
        table = self._weights.embeddings
        self._cache = torch.empty(shape, dtype=table.dtype, device=table.device)

    @torch.inference_mode()
    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed one position and return the logits of the next.

        Parameters
        ----------
        tokens
            `[B, codebooks]`, the special token included.

        Returns
        -------
        torch.Tensor
            `[B, codebooks, vocabulary]`, float32, with guidance.
        """
        hidden = embedding(tokens + self._weights.offsets, self._weights.embeddings).sum(dim=1)
        hidden = hidden + self._decoder.embed_positions.weights[self._position]
        if self._guidance > 1:
            hidden = torch.cat([hidden, hidden])
        for index, layer in enumerate(self._decoder.layers):
            weights = self._weights.layers[index]
            hidden += self._attend_to_past(layer, index, hidden)
            with_text = hidden[: self._batch]
            with_text += self._attend_to_text(layer, index, with_text)
            hidden += weights.narrow(layer.activation_fn(weights.widen(layer.final_layer_norm(hidden))))
        self._position += 1
        hidden = self._decoder.layer_norm(hidden)
        if self._guidance > 1:
            with_text, without = hidden.float().chunk(2)
            hidden = torch.lerp(without, with_text, self._guidance).to(hidden.dtype)
        return self._weights.heads(hidden).float().view(self._batch, -1, self._vocabulary)

    def _attend_to_past(self, layer: Any, index: int, hidden: torch.Tensor) -> torch.Tensor:
        attention, weights, now = layer.self_attn, self._weights.layers[index], self._position
        states = layer.self_attn_layer_norm(hidden)
        shape = (self._rows, attention.num_heads, 1, attention.head_dim)
        keys, values = self._cache[index]
        keys[:, :, now : now + 1] = weights.key(states).view(shape)
        values[:, :, now : now + 1] = weights.value(states).view(shape)
        mixed = scaled_dot_product_attention(
            weights.query(states).view(shape), keys[:, :, : now + 1], values[:, :, : now + 1]
        )
        return weights.out(mixed.reshape(hidden.shape))

    def _attend_to_text(self, layer: Any, index: int, hidden: torch.Tensor) -> torch.Tensor:
        attention, weights, text = layer.encoder_attn, self._weights.layers[index], self._text
        states = layer.encoder_attn_layer_norm(hidden)
        query = weights.text_query(states).view(self._batch, attention.num_heads, 1, attention.head_dim)
        # Always with the mask: without one another kernel would run, and neighbours' texts would matter.
        mixed = scaled_dot_product_attention(query, text.keys[index], text.values[index], attn_mask=text.mask)
        return weights.text_out(mixed.reshape(hidden.shape))
