"""From prompts to what MusicGen's decoder attends to.

Each distinct text is encoded once, alone and unpadded, and its cross-attention keys and values are computed
alone, so that they do not depend on the texts beside it. Only then are they padded to a multiple of
`TEXT_MULTIPLE` tokens, so that most texts may share a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad

from generators.remembered import Remembered
from generators.text_length import check_length, longest_text, token_count
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
        Of its text encoder.
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
