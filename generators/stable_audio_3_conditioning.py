"""From texts and a duration to what Stable Audio 3's transformer attends to."""

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
