"""The weights of MusicGen's decoder, laid out once for all batches of one size.

For a product of few rows, as in decoding step by step, MKL and oneDNN spend as much time on laying out the weights in
the order that their kernels read as on the product. Here that is done once, in a copy. Where a processor has no
instructions for bfloat16, it multiplies in float32: the copy is twice as large, the product faster than an imitation of
bfloat16 (`experiments.benchmarks.generation` measures it) and no less exact, for only its result is rounded.

Such a product is taken only if it treats all rows alike on the machine at hand, which is tried when it is laid out.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import linear

from generators.shared.slots import treats_rows_alike

_FEWEST = 4  # rows; below that, reading the weights as they lie is as fast


class PackedLinear:
    """A linear layer without bias whose weights stay as they are.

    On a GPU, for one to three rows, where the libraries are missing or where their product of so many rows depends on
    a row's place, it is an ordinary layer and takes no memory of its own.

    Parameters
    ----------
    weight
        `[outputs, inputs]`.
    rows
        Number of rows that it will be applied to; others are possible, and slower.
    """

    def __init__(self, weight: torch.Tensor, rows: int) -> None:
        self._weight = weight.detach()
        self._rows = rows
        self._product: _Packed | None = None
        if rows >= _FEWEST and _can_pack(weight):
            product = _Packed(self._weight, rows)
            if _proved(product, self._weight, rows):
                self._product = product

    def packed_bytes(self) -> int:
        """Return the bytes that a packed copy takes."""
        few = self._rows < _FEWEST
        stays = self._weight.dtype == torch.bfloat16 and multiplies_bfloat16()
        return 0 if few else self._weight.numel() * (2 if stays else 4)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return the outputs `[rows, outputs]` of states `[rows, inputs]`."""
        if self._product is None or states.ndim != 2 or len(states) != self._rows:
            return linear(states, self._weight)
        return self._product(states)


class _Packed:
    """A product of so many rows with packed weights."""

    def __init__(self, weight: torch.Tensor, rows: int) -> None:
        self._rows = rows
        self._one_dnn = weight.dtype == torch.bfloat16 and multiplies_bfloat16()
        if self._one_dnn:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        else:
            self._weight = torch.ops.mkl._mkl_reorder_linear_weight(weight.float(), rows)
        # MKL asks the weights as they were for their shape alone, if the rows are as many as was said
        self._shape = torch.zeros(()).expand(weight.shape)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        if self._one_dnn:
            return torch.ops.mkldnn._linear_pointwise(states, self._weight, None, "none", [], "")
        found = torch.ops.mkl._mkl_linear(states.float(), self._weight, self._shape, None, self._rows)
        return found.to(states.dtype)


_alike: dict[tuple[object, ...], bool] = {}  # by what a library chooses its kernel for


def _proved(product: _Packed, weight: torch.Tensor, rows: int) -> bool:
    """Return whether such a product treats all rows alike here; tried once for each kind of product."""
    kind = (tuple(weight.shape), weight.dtype, rows, torch.get_num_threads())
    if kind not in _alike:
        random = torch.Generator().manual_seed(rows)
        states = torch.randn(rows, weight.shape[1], generator=random).to(weight.dtype)
        _alike[kind] = treats_rows_alike(product, states)
    return _alike[kind]


def multiplies_bfloat16() -> bool:
    """Return whether the processor has instructions for products of bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _can_pack(weight: torch.Tensor) -> bool:
    if weight.device.type != "cpu":
        return False
    if weight.dtype == torch.bfloat16 and multiplies_bfloat16():
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype in (torch.float32, torch.bfloat16) and torch.backends.mkl.is_available()


@dataclass(frozen=True)
class LayerWeights:
    """The linear layers of one layer of the decoder.

    Attributes
    ----------
    query, key, value, out
        Layers of the attention to the past.
    widen, narrow
        Layers of the feed-forward block.
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
        Weights of the layers of the decoder.
    text
        Weights of their attention to the text; none where the text stands before the codes, as with melody.
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
        Clips of a batch.
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

    def packed_bytes(self) -> int:
        """Return the bytes of the copies in the order of the kernels, were all layers packed on a CPU."""
        parts = [linear for layer in (*self.layers, *self.text) for linear in vars(layer).values()]
        return sum(linear.packed_bytes() for linear in (*parts, self.heads))


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
