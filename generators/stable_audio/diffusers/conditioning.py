"""From prompts and seconds to what Stable Audio's transformer is conditioned on.

Each distinct text is encoded once and alone, at the one padded length that the model was trained with, so that it
does not depend on the texts beside it, and all texts may share a batch. The model attends to the padding as well:
its rows are zeros.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from generators.shared.texts import Remembered, check_length


@dataclass(frozen=True)
class Conditions:
    """What R rows of the transformer are conditioned on.

    Attributes
    ----------
    attended
        Text and seconds, for cross-attention, `[R, S, D]`.
    prepended
        Seconds, for the position before the first frame, `[R, 1, 2 D]`.
    """

    attended: torch.Tensor
    prepended: torch.Tensor


class StableAudioConditioner:
    """Tokenizer, text encoder and projections of a Stable Audio model.

    Encoded texts are remembered: the weights are taken to stay as they are.

    Parameters
    ----------
    tokenizer
        Tokenizer of T5; its `model_max_length` is the padded length.
    text_encoder
        A `T5EncoderModel`.
    projection
        A `StableAudioProjectionModel`.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any, projection: Any) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._projection = projection
        self._encode = Remembered(self._encode_text)
        self.longest: int = tokenizer.model_max_length

    def check(self, text: str, name: str) -> None:
        """`InputError` if a text, called `name` in the message, is longer than the model takes."""
        check_length(self._tokenizer, text, self.longest, name)

    @torch.no_grad()
    def batch(self, texts: Sequence[str], seconds: float, negative: str, guided: bool) -> Conditions:
        """Return the conditions of clips.

        Parameters
        ----------
        texts
            Texts of B clips, each checked.
        seconds
            Length of all clips, s.
        negative
            Text that guidance leads away from; if empty, it leads away from no conditions.
        guided
            Whether the result has the B rows of the branch that guidance leads away from before the others.
        """
        start, end = self._seconds(seconds)
        attended = torch.stack([torch.cat([self._encode(text), start, end]) for text in texts])
        prepended = torch.cat([start, end], dim=1).expand(len(texts), 1, -1)
        if guided:
            away = torch.zeros_like(attended)
            if negative:
                away[:] = torch.cat([self._encode(negative), start, end])
            attended, prepended = torch.cat([away, attended]), torch.cat([prepended, prepended])
        return Conditions(attended, prepended)

    def _seconds(self, seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the projections of the start (0 s) and the end, `[1, D]` each."""
        device = self._text_encoder.device
        start, end = (torch.tensor([moment], device=device) for moment in (0.0, float(seconds)))
        found = self._projection(start_seconds=start, end_seconds=end)
        return found.seconds_start_hidden_states[0], found.seconds_end_hidden_states[0]

    def _encode_text(self, text: str) -> torch.Tensor:
        """Return the projected states of a text, zero where it is padded, `[longest, D]`."""
        tokens = self._tokenizer(text, padding="max_length", max_length=self.longest, return_tensors="pt")
        ids, mask = (tokens[key].to(self._text_encoder.device) for key in ("input_ids", "attention_mask"))
        states = self._text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        states = self._projection(text_hidden_states=states).text_hidden_states
        return (states * mask[..., None])[0]
