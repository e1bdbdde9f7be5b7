"""From prompts to what MusicGen's decoder attends to.

Each distinct text is encoded once, alone and unpadded, and its cross-attention keys and values are computed
alone, so that they do not depend on the texts beside it. Only then are they padded to a multiple of
`TEXT_MULTIPLE` tokens, so that most texts may share a batch.

The decoder of MusicGen Melody continues a prefix instead: the melody of the reference, then the text. The melody is
chroma, the strongest pitch class of each moment, repeated or cut to the one length that the model was trained with;
without a reference it is the model's null melody. The decoder reads each distinct prefix alone and unpadded, and only
the room for it in a batch is padded.

transformers gives the chroma of the whole recording unless it is handed the stems of a source separation; the
authors' code removes drums and bass first. Here it is the whole recording. The `generate()` of transformers 5.15 drops
text and melody of these models without a word, unless it is told to do without its cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from generators.shared.texts import Remembered, check_length, longest_text, token_count
from music.clips import read_clip, read_header
from music.prompts import Prompt

TEXT_MULTIPLE = 16


@dataclass(frozen=True)
class TextBatch:
    """Cross-attention of a batch of B texts, padded to S tokens.

    Attributes
    ----------
    keys, values
        One tensor a decoder layer, `[B, heads, S, head dimension]`.
    mask
        True where there is text, `[B, 1, 1, S]`.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    mask: torch.Tensor

    @property
    def clips(self) -> int:
        """B."""
        return self.mask.shape[0]


class TextConditioner:
    """Tokenizer, text encoder and projection of a MusicGen model.

    Encoder outputs are remembered: the weights of the text encoder are taken to stay as they are.

    Parameters
    ----------
    model
        A `MusicgenForConditionalGeneration`.
    tokenizer
        Tokenizer of its text encoder.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._encode = Remembered(self._encode_text)
        self.longest = longest_text(tokenizer)

    def check(self, prompt: Prompt) -> None:
        """`InputError` if the text of a prompt is longer than the text encoder was made for."""
        check_length(self._tokenizer, prompt.text, self.longest, f"prompt {prompt.id!r}: its text")

    def padded_length(self, prompt: Prompt) -> int:
        """Return the length in tokens at which the text of a prompt is attended to."""
        return -(-token_count(self._tokenizer, prompt.text) // TEXT_MULTIPLE) * TEXT_MULTIPLE

    @torch.inference_mode()
    def batch(self, prompts: Sequence[Prompt], length: int) -> TextBatch:
        """Return the cross-attention of texts that all have this padded length."""
        distinct = {prompt.text: index for index, prompt in enumerate({p.text: p for p in prompts}.values())}
        projected = [self.states(text) for text in distinct]
        device = projected[0].device
        rows = torch.tensor([distinct[prompt.text] for prompt in prompts], device=device)
        lengths = torch.tensor([states.shape[1] for states in projected], device=device)
        mask = torch.arange(length, device=device) < lengths[rows, None]
        keys: list[torch.Tensor] = []
        values: list[torch.Tensor] = []
        for layer in self._model.decoder.model.decoder.layers:
            attention = layer.encoder_attn
            for linear, found in ((attention.k_proj, keys), (attention.v_proj, values)):
                each = [_heads(linear(states), attention.num_heads, length) for states in projected]
                found.append(torch.cat(each)[rows])
        return TextBatch(keys, values, mask[:, None, None, :])

    def states(self, text: str) -> torch.Tensor:
        """Return a text in the decoder's width and numeric type, `[1, tokens, dimension]`."""
        projection, states = getattr(self._model, "enc_to_dec_proj", None), self._encode(text)
        if projection is not None:
            states = projection(states.to(projection.weight.dtype))
        return states.to(self._model.decoder.dtype)

    def _encode_text(self, text: str) -> torch.Tensor:
        """Return the text encoder's output, `[1, tokens, dimension]`."""
        ids = self._tokenizer(text, truncation=False, verbose=False, return_tensors="pt")["input_ids"]
        encoder = self._model.text_encoder
        return encoder(input_ids=ids.to(encoder.device)).last_hidden_state


def _heads(states: torch.Tensor, heads: int, length: int) -> torch.Tensor:
    """Return `[1, tokens, dimension]` as `[1, heads, length, head dimension]`, padded with zeros."""
    split = states.view(1, states.shape[1], heads, -1).transpose(1, 2)
    return pad(split, (0, 0, 0, length - states.shape[1]))


@dataclass(frozen=True)
class PrefixBatch:
    """The prefixes of a batch of B clips, as the decoder has read them.

    Attributes
    ----------
    read
        Keys and values of each distinct prefix, `[layers, 2, branches, heads, positions, head dimension]`; the
        second branch, if there is one, is what guidance leads away from.
    rows
        Index among them for each clip, B integers.
    length
        Positions that each prefix gets in the batch; none is longer.
    """

    read: list[torch.Tensor]
    rows: list[int]
    length: int

    @property
    def clips(self) -> int:
        """B."""
        return len(self.rows)


class MelodyConditioner:
    """Tokenizer, text encoder, chroma and projections of a MusicGen Melody model.

    Parameters
    ----------
    model
        A `MusicgenMelodyForConditionalGeneration`.
    tokenizer
        Tokenizer of its text encoder.
    chroma
        Its `MusicgenMelodyFeatureExtractor`.
    guided
        Whether there is guidance, which needs the prefix without conditions as well.
    """

    def __init__(self, model: Any, tokenizer: Any, chroma: Any, guided: bool) -> None:
        self._model = model
        self._texts = TextConditioner(model, tokenizer)
        self._chroma = chroma
        self._guided = guided

    def check(self, prompt: Prompt) -> None:
        """`InputError` if a text is longer than the text encoder was made for, or a reference cannot be read."""
        self._texts.check(prompt)
        if prompt.reference is not None:
            read_header(prompt.reference)

    def padded_length(self, prompt: Prompt) -> int:
        """Return the positions that the text of a prompt gets, without those of the melody."""
        return self._texts.padded_length(prompt)

    @torch.inference_mode()
    def batch(self, prompts: Sequence[Prompt], length: int) -> PrefixBatch:
        """Return the prefixes of prompts whose texts all have this padded length."""
        distinct: dict[tuple[str, Path | None], int] = {}
        rows = [distinct.setdefault((p.text, p.reference), len(distinct)) for p in prompts]
        read = [self._read(text, reference) for text, reference in distinct]
        return PrefixBatch(read, rows, self._model.config.chroma_length + length)

    def _read(self, text: str, reference: Path | None) -> torch.Tensor:
        words = self._texts.states(text)
        states = torch.cat([self._melody(reference), words], dim=1)
        if self._guided:
            away = torch.cat([self._melody(None), torch.zeros_like(words)], dim=1)
            states = torch.cat([states, away])
        return read_prefix(self._model.decoder, states)

    def _melody(self, reference: Path | None) -> torch.Tensor:
        """Return the states of a melody, or of none, `[1, chroma length, dimension]`."""
        config, device = self._model.config, self._model.text_encoder.device
        if reference is None:
            chroma = torch.zeros(1, 1, config.num_chroma)
            chroma[..., 0] = 1
        else:
            chroma = self._chroma_of(reference)
        projection = getattr(self._model, "audio_enc_to_dec_proj", None)
        states = chroma.to(device) if projection is None else projection(chroma.to(device))
        repeats = -(-config.chroma_length // states.shape[1])
        return states.repeat(1, repeats, 1)[:, : config.chroma_length].to(self._model.decoder.dtype)

    def _chroma_of(self, reference: Path) -> torch.Tensor:
        """Return one-hot pitch classes, `[1, frames, chroma]`, float32."""
        rate = self._chroma.sampling_rate
        # a little more than is used, so that resampling meets no edge there
        clip = read_clip(reference, max_seconds=self._chroma.chunk_length + 1).mono().resampled(rate)
        samples = clip.waveform[0, : self._chroma.n_samples].numpy()
        return self._chroma(samples, sampling_rate=rate, return_tensors="pt")["input_features"]


@torch.inference_mode()
def read_prefix(decoder: Any, states: torch.Tensor) -> torch.Tensor:
    """Let a decoder read a prefix.

    Parameters
    ----------
    decoder
        A `MusicgenMelodyForCausalLM` in evaluation mode.
    states
        `[branches, positions, dimension]`.

    Returns
    -------
    torch.Tensor
        Keys and values, `[layers, 2, branches, heads, positions, head dimension]`.
    """
    inner = decoder.model.decoder
    hidden = states + position_states(inner, states.shape[1])
    found = []
    for layer in inner.layers:
        attention = layer.self_attn
        normed = layer.self_attn_layer_norm(hidden)
        shape = (*hidden.shape[:2], attention.num_heads, attention.head_dim)
        queries, keys, values = (
            projection(normed).view(shape).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        found.append(torch.stack([keys, values]))
        mixed = scaled_dot_product_attention(queries, keys, values, is_causal=True)
        hidden = hidden + attention.out_proj(mixed.transpose(1, 2).reshape(hidden.shape))
        hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
    return torch.stack(found)


def position_states(decoder: Any, count: int) -> torch.Tensor:
    """Return the embeddings of the first so many positions, `[at least count, dimension]`.

    Where the model's table ends it goes on by the same formula.
    """
    table = decoder.embed_positions
    if count <= len(table.weights):
        return table.weights[:count]
    return table.get_embedding(count, table.embedding_dim).to(table.weights)
