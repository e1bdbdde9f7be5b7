"""The weights of MusicGen's decoder, laid out once for all batches of one size."""

from dataclasses import dataclass
from typing import Any

import torch

from generators.packed_linear import PackedLinear


@dataclass(frozen=True)
class LayerWeights:
    """The linear layers of one layer of the decoder.

    Attributes
    ----------
    query, key, value, out
        Of the attention to the past.
    widen, narrow
        Of the feed-forward block.
    """

    query: PackedLinear
    key: PackedLinear
    value: PackedLinear
    out: PackedLinear
    widen: PackedLinear
    narrow: PackedLinear


@dataclass(frozen=True)
class TextWeights:
    """The linear layers of one layer's attention to the text, whose keys and values are computed beforehand."""

    query: PackedLinear
    out: PackedLinear


class DecoderWeights:
    """What a `MusicgenForCausalLM` or `MusicgenMelodyForCausalLM` multiplies with at each step.

    They are taken to stay as they are. On a CPU this is a second copy of them.

    Attributes
    ----------
    layers
        Of the decoder.
    text
        Of the decoder's layers; none where the text stands before the codes, as with melody.
    heads
        All output heads in one.
    embeddings
        The tables of all codebooks in one, `[codebooks * (vocabulary + 1), width]`.
    offsets
        Where the table of each codebook begins, `[codebooks]`.

    Parameters
    ----------
    decoder
        One of these.
    clips
        Of a batch.
    guided
        Whether each clip has a branch without conditions.
    """

    def __init__(self, decoder: Any, clips: int, guided: bool) -> None:
        rows = 2 * clips if guided else clips
        layers = decoder.model.decoder.layers
        self.layers = [_layer(layer, rows) for layer in layers]
        self.text = [_text(layer.encoder_attn, clips) for layer in layers if hasattr(layer, "encoder_attn")]
        with torch.no_grad():
            self.heads = PackedLinear(torch.cat([head.weight for head in decoder.lm_heads]), clips)
            tables = [table.weight for table in decoder.model.decoder.embed_tokens]
            self.embeddings = torch.cat(tables)
        self.offsets = torch.arange(len(tables), device=self.embeddings.device) * tables[0].shape[0]


def _layer(layer: Any, rows: int) -> LayerWeights:
    past = layer.self_attn
    return LayerWeights(
        query=PackedLinear(past.q_proj.weight, rows),
        key=PackedLinear(past.k_proj.weight, rows),
        value=PackedLinear(past.v_proj.weight, rows),
        out=PackedLinear(past.out_proj.weight, rows),
        widen=PackedLinear(layer.fc1.weight, rows),
        narrow=PackedLinear(layer.fc2.weight, rows),
    )


def _text(attention: Any, clips: int) -> TextWeights:
    return TextWeights(
        PackedLinear(attention.q_proj.weight, clips), PackedLinear(attention.out_proj.weight, clips)
    )
