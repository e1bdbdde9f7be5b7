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
    text_query, text_out
        Of the attention to the text.
    widen, narrow
        Of the feed-forward block.
    """

    query: PackedLinear
    key: PackedLinear
    value: PackedLinear
    out: PackedLinear
    text_query: PackedLinear
    text_out: PackedLinear
    widen: PackedLinear
    narrow: PackedLinear


class DecoderWeights:
    """What a `MusicgenForCausalLM` multiplies with at each step.

    They are taken to stay as they are. On a CPU this is a second copy of them.

    Attributes
    ----------
    layers
        Of the decoder.
    heads
        All output heads in one.
    embeddings
        The tables of all codebooks in one, `[codebooks * (vocabulary + 1), width]`.
    offsets
        Where the table of each codebook begins, `[codebooks]`.

    Parameters
    ----------
    decoder
        A `MusicgenForCausalLM`.
    clips
        Of a batch.
    guided
        Whether each clip has a branch without text.
    """

    def __init__(self, decoder: Any, clips: int, guided: bool) -> None:
        rows = 2 * clips if guided else clips
        self.layers = [_layer(layer, clips, rows) for layer in decoder.model.decoder.layers]
        with torch.no_grad():
            self.heads = PackedLinear(torch.cat([head.weight for head in decoder.lm_heads]), clips)
            tables = [table.weight for table in decoder.model.decoder.embed_tokens]
            self.embeddings = torch.cat(tables)
        self.offsets = torch.arange(len(tables), device=self.embeddings.device) * tables[0].shape[0]


def _layer(layer: Any, clips: int, rows: int) -> LayerWeights:
    past, text = layer.self_attn, layer.encoder_attn
    return LayerWeights(
        query=PackedLinear(past.q_proj.weight, rows),
        key=PackedLinear(past.k_proj.weight, rows),
        value=PackedLinear(past.v_proj.weight, rows),
        out=PackedLinear(past.out_proj.weight, rows),
        text_query=PackedLinear(text.q_proj.weight, clips),
        text_out=PackedLinear(text.out_proj.weight, clips),
        widen=PackedLinear(layer.fc1.weight, rows),
        narrow=PackedLinear(layer.fc2.weight, rows),
    )
