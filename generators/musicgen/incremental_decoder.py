"""MusicGen's decoder one position at a time.

It computes what the modules of a `MusicgenForCausalLM` or a `MusicgenMelodyForCausalLM` do, with savings over their
`forward`:

- on a CPU, weights are laid out once for products of so few rows (`generators.musicgen.decoder_weights`);
- keys and values go into buffers that are allocated once, instead of being copied at every step;
- where the text is attended to by cross-attention, the branch without text skips it, for it adds exactly zero
  there: the null text is all zeros and the projections have no bias;
- where a prefix stands before the codes, each distinct prefix is read once, however many clips have it;
- guidance is applied before the output heads, which are linear and have no bias, so they run once instead of
  twice: head(u) + g * (head(c) - head(u)) = head(u + g * (c - u)).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import embedding, scaled_dot_product_attention

from generators.musicgen.conditioning import PrefixBatch, TextBatch, position_states
from generators.musicgen.decoder_weights import DecoderWeights

_ALIGNMENT = 16  # positions; every head's keys then start at a multiple of 64 bytes, as for every other head


class _CachedDecoder:
    """What both kinds of decoder share: embeddings, the cache of keys and values, guidance and heads.

    Parameters
    ----------
    decoder
        Decoder in evaluation mode.
    batch
        Number of clips B.
    positions
        Number of positions in the cache.
    guidance
        Scale of classifier-free guidance; 1 runs no branch without conditions.
    weights
        Weights of the decoder, laid out for such batches; made here if they are not given.
    """

    def __init__(
        self, decoder: Any, batch: int, positions: int, guidance: float, weights: DecoderWeights | None
    ) -> None:
        self._decoder = decoder.model.decoder
        self._guidance = guidance
        self._batch = batch
        self._rows = batch * (2 if guidance > 1 else 1)
        self._position = 0
        self._vocabulary = decoder.config.vocab_size
        self._weights = weights or DecoderWeights(decoder, batch, guidance > 1)
        attention = self._decoder.layers[0].self_attn
        padded = -(-positions // _ALIGNMENT) * _ALIGNMENT
        shape = (len(self._decoder.layers), 2, self._rows, attention.num_heads, padded, attention.head_dim)
        table = self._weights.embeddings
        self._cache = torch.empty(shape, dtype=table.dtype, device=table.device)
        self.first = torch.full(
            (batch, len(self._weights.offsets)), self._vocabulary, dtype=torch.long, device=table.device
        )

    def past(self, row: int) -> torch.Tensor:
        """Return the keys and values of a clip's positions so far; see `generators.musicgen.sampling.CodeDecoder`.

        `[layers, 2, branches, heads, positions, head dimension]`.
        """
        begin = self._slot() - self._position
        return self._cache[:, :, row :: self._batch, :, begin : self._slot()].clone()

    def go_on(self, pasts: Sequence[torch.Tensor], position: int) -> None:
        """Go on with the pasts of B clips; see `generators.musicgen.sampling.CodeDecoder`."""
        begin, self._position = self._slot() - self._position, position
        for row, past in enumerate(pasts):
            self._cache[:, :, row :: self._batch, :, begin : self._slot()] = past

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
        hidden = hidden + self._place()
        if self._guidance > 1:
            hidden = torch.cat([hidden, hidden])
        for index, layer in enumerate(self._decoder.layers):
            weights = self._weights.layers[index]
            hidden += self._attend_to_past(layer, index, hidden)
            self._attend_to_text(layer, index, hidden)
            hidden += weights.narrow(layer.activation_fn(weights.widen(layer.final_layer_norm(hidden))))
        self._position += 1
        hidden = self._decoder.layer_norm(hidden)
        if self._guidance > 1:
            towards, away = hidden.float().chunk(2)
            hidden = torch.lerp(away, towards, self._guidance).to(hidden.dtype)
        return self._weights.heads(hidden).float().view(self._batch, -1, self._vocabulary)

    def _attend_to_past(self, layer: Any, index: int, hidden: torch.Tensor) -> torch.Tensor:
        attention, weights, now = layer.self_attn, self._weights.layers[index], self._slot()
        states = layer.self_attn_layer_norm(hidden)
        shape = (self._rows, attention.num_heads, 1, attention.head_dim)
        keys, values = self._cache[index]
        keys[:, :, now : now + 1] = weights.key(states).view(shape)
        values[:, :, now : now + 1] = weights.value(states).view(shape)
        mixed = scaled_dot_product_attention(
            weights.query(states).view(shape),
            keys[:, :, : now + 1],
            values[:, :, : now + 1],
            attn_mask=self._visible(now + 1),
        )
        return weights.out(mixed.reshape(hidden.shape))

    def _place(self) -> torch.Tensor:
        """Return the embedding of the position, `[D]` or `[B, D]`."""
        return self._decoder.embed_positions.weights[self._position]

    def _slot(self) -> int:
        """Return where in the cache the position lies."""
        return self._position

    def _visible(self, slots: int) -> torch.Tensor | None:
        """Return which of the first slots of the cache each row may see; None is all."""
        return None

    def _attend_to_text(self, layer: Any, index: int, hidden: torch.Tensor) -> None:
        """Add to the hidden states what cross-attention finds."""


class IncrementalDecoder(_CachedDecoder):
    """The state of one batch of B clips while MusicGen decodes it.

    Parameters
    ----------
    decoder
        A `MusicgenForCausalLM` in evaluation mode.
    text
        What the clips are conditioned on.
    steps
        Number of positions.
    guidance
        Scale of classifier-free guidance; 1 runs no branch without text.
    weights
        Weights of the decoder, laid out for such batches; made here if they are not given.
    """

    def __init__(
        self,
        decoder: Any,
        text: TextBatch,
        steps: int,
        guidance: float,
        weights: DecoderWeights | None = None,
    ) -> None:
        super().__init__(decoder, text.clips, steps, guidance, weights)
        self._text = text

    def _attend_to_text(self, layer: Any, index: int, hidden: torch.Tensor) -> None:
        attention, weights, text = layer.encoder_attn, self._weights.text[index], self._text
        with_text = hidden[: self._batch]
        states = layer.encoder_attn_layer_norm(with_text)
        query = weights.query(states).view(self._batch, attention.num_heads, 1, attention.head_dim)
        # Always with the mask: without one another kernel would run, and neighbours' texts would matter.
        mixed = scaled_dot_product_attention(query, text.keys[index], text.values[index], attn_mask=text.mask)
        with_text += weights.out(mixed.reshape(with_text.shape))


class PrefixedDecoder(_CachedDecoder):
    """The state of one batch of B clips while MusicGen Melody decodes it.

    The prefix of a clip fills the first slots of its row of the cache; those up to the padded length that all rows
    share stay hidden, and the positions of the codes are counted from the end of the clip's own prefix.

    Parameters
    ----------
    decoder
        A `MusicgenMelodyForCausalLM` in evaluation mode.
    prefix
        What the clips are conditioned on, with the branch that guidance leads away from if there is guidance.
    steps
        Number of positions after the prefix.
    guidance
        Scale of classifier-free guidance; 1 runs no branch without conditions.
    weights
        Weights of the decoder, laid out for such batches; made here if they are not given.
    """

    def __init__(
        self,
        decoder: Any,
        prefix: PrefixBatch,
        steps: int,
        guidance: float,
        weights: DecoderWeights | None = None,
    ) -> None:
        batch, self._start = prefix.clips, prefix.length
        super().__init__(decoder, batch, self._start + steps, guidance, weights)
        device = self._cache.device
        own = torch.tensor([prefix.read[row].shape[4] for row in prefix.rows], device=device)
        slots = torch.arange(self._cache.shape[4], device=device)
        seen = (slots < own[:, None]) | (slots >= self._start)
        self._seen = seen.repeat(self._rows // batch, 1)[:, None, None]
        table = position_states(self._decoder, int(own.max()) + steps)
        self._places = table[own[:, None] + torch.arange(steps, device=device)]
        self._cache[:, :, :, :, : self._start] = 0  # hidden slots have no weight, but NaN times 0 is NaN
        for place, row in enumerate(prefix.rows):
            read = prefix.read[row]
            for branch in range(self._rows // batch):
                self._cache[:, :, place + branch * batch, :, : read.shape[4]] = read[:, :, branch]

    def _place(self) -> torch.Tensor:
        return self._places[:, self._position]

    def _slot(self) -> int:
        return self._start + self._position

    def _visible(self, slots: int) -> torch.Tensor | None:
        return self._seen[..., :slots]
