"""From a text to what AudioLDM 2's U-Net attends to: eight vectors of a language model, and the states of T5.

Each distinct text is encoded once and alone. The text that guidance leads away from is padded to the length of the
text that it stands beside, as in the pipeline of diffusers: the language model counts the padding. States of T5 are
padded in a batch, to a multiple of `LENGTH_MULTIPLE`, and the padding is hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad

from generators.shared.texts import Remembered, check_length, token_count

LENGTH_MULTIPLE = 16
_GENERATED = 8  # vectors, unless the language model's configuration says otherwise


@dataclass(frozen=True)
class AudioLDM2Conditions:
    """What R rows of the U-Net are conditioned on.

    Attributes
    ----------
    generated
        Vectors that the language model goes on with, `[R, 8, D]`.
    states
        States of T5, `[R, S, D']`.
    mask
        1 where there are states, `[R, S]`.
    """

    generated: torch.Tensor
    states: torch.Tensor
    mask: torch.Tensor


class AudioLDM2Conditioner:
    """Tokenizers and text encoders of an AudioLDM 2 model.

    Parameters
    ----------
    tokenizers
        Tokenizers of CLAP and of T5.
    clap, t5, projection, language_model
        A `ClapModel`, a `T5EncoderModel`, an `AudioLDM2ProjectionModel` and a `GPT2Model`.
    """

    def __init__(
        self, tokenizers: Sequence[Any], clap: Any, t5: Any, projection: Any, language_model: Any
    ) -> None:
        self._tokenizers = tokenizers
        self._clap = clap
        self._t5 = t5
        self._projection = projection
        self._language_model = language_model
        self._encode = Remembered(self._encode_text)

    def check(self, text: str, name: str) -> None:
        """`InputError` if a text, called `name` in the message, is longer than the model takes."""
        for tokenizer in self._tokenizers:
            check_length(tokenizer, text, tokenizer.model_max_length, name)

    def padded_length(self, text: str, negative: str) -> int:
        """Return the length of the states of T5 in a batch."""
        length = max(self._length(text), self._length(negative))
        return -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE

    def batch(self, texts: Sequence[str], negative: str, guided: bool) -> AudioLDM2Conditions:
        """Return the conditions of clips whose texts have one padded length.

        Parameters
        ----------
        texts
            Texts of B clips, each checked.
        negative
            Text that guidance leads away from.
        guided
            Whether the result has the B rows of the branch that guidance leads away from before the others.
        """
        length = self.padded_length(texts[0], negative)
        found = [self._encode((text, 0)) for text in texts]
        if guided:
            found = [*(self._encode((negative, self._length(text))) for text in texts), *found]
        return AudioLDM2Conditions(
            torch.stack([generated for generated, _, _ in found]),
            torch.stack([pad(states, (0, 0, 0, length - len(states))) for _, states, _ in found]),
            torch.stack([pad(mask, (0, length - len(mask))) for _, _, mask in found]),
        )

    def _length(self, text: str) -> int:
        return token_count(self._tokenizers[1], text)

    def _encode_text(self, key: tuple[str, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what is generated, the states of T5 and their mask, of a text padded to at least some length."""
        text, length = key
        clap_tokenizer, t5_tokenizer = self._tokenizers
        device = self._t5.device
        words = clap_tokenizer(
            text, padding="max_length", max_length=clap_tokenizer.model_max_length, return_tensors="pt"
        ).to(device)
        whole = self._clap.get_text_features(
            words["input_ids"], attention_mask=words["attention_mask"]
        ).pooler_output[:, None]
        length = max(length, self._length(text))
        pieces = t5_tokenizer(text, padding="max_length", max_length=length, return_tensors="pt").to(device)
        mask = pieces["attention_mask"]
        states = self._t5(input_ids=pieces["input_ids"], attention_mask=mask).last_hidden_state
        projected = self._projection(
            hidden_states=whole,
            hidden_states_1=states,
            attention_mask=mask.new_ones(1, 1),
            attention_mask_1=mask,
        )
        return self._continue(projected.hidden_states, projected.attention_mask)[0], states[0], mask[0]

    def _continue(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the vectors with which the language model goes on, `[1, 8, D]`."""
        count: int = getattr(self._language_model.config, "max_new_tokens", _GENERATED)
        for _ in range(count):
            found = self._language_model(inputs_embeds=states, attention_mask=mask, use_cache=False)
            states = torch.cat([states, found.last_hidden_state[:, -1:]], dim=1)
            mask = torch.cat([mask, mask.new_ones(1, 1)], dim=1)
        return states[:, -count:]
