"""From prompts to what audiocraft's language model is conditioned on, by its own conditioners.

Each distinct text and reference is encoded once and alone. audiocraft's attention looks at the padding of texts too,
so that a clip would depend on the longest text beside it: texts are never padded, and only those of the same length
share a batch.
"""

from collections.abc import Sequence
from typing import Any

import torch

from generators.audiocraft_library import import_audiocraft
from generators.audiocraft_loading import MELODY, TEXT
from generators.remembered import FileState, Remembered
from generators.text_length import check_length, longest_text, token_count
from music.clips import read_clip, read_header
from music.prompts import Prompt

# Of each condition its states `[rows, positions, dimension]`, and None: the library does not look at their mask.
Conditions = dict[str, tuple[torch.Tensor, None]]


class AudiocraftConditioner:
    """The conditioners of an `LMModel`.

    Encoded prompts are remembered: the weights are taken to stay as they are.

    Parameters
    ----------
    model
        The `LMModel`.
    guided
        Whether there is guidance, which needs the rows without conditions as well.
    """

    def __init__(self, model: Any, guided: bool) -> None:
        self._conditioners = model.condition_provider.conditioners
        self._guided = guided
        self.hears_melodies = MELODY in self._conditioners
        self._tokenizer = self._conditioners[TEXT].t5_tokenizer
        self.longest = longest_text(self._tokenizer)
        self._text = Remembered(self._encode_text)
        self._melody = Remembered(self._encode_melody)

    def check(self, prompt: Prompt) -> None:
        """`InputError` if a text is longer than the text encoder was made for, or a reference cannot be read."""
        check_length(self._tokenizer, prompt.text, self.longest, f"prompt {prompt.id!r}: its text")
        if self.hears_melodies and prompt.reference is not None:
            read_header(prompt.reference)

    def length(self, prompt: Prompt) -> int:
        """Return the length of the text of a prompt in tokens."""
        return token_count(self._tokenizer, prompt.text)

    @torch.inference_mode()
    def batch(self, prompts: Sequence[Prompt]) -> Conditions:
        """Return the conditions of prompts whose texts have the same length; with guidance, those without follow."""
        texts = torch.cat([self._text(prompt.text) for prompt in prompts])
        found = {TEXT: [texts, torch.zeros_like(texts)]}
        if self.hears_melodies:
            melodies = torch.cat([self._melody(FileState.of(prompt.reference)) for prompt in prompts])
            found[MELODY] = [melodies, self._melody(None).expand_as(melodies)]
        rows = 2 if self._guided else 1
        return {name: (torch.cat(parts[:rows]), None) for name, parts in found.items()}

    def _encode_text(self, text: str) -> torch.Tensor:
        conditioner = self._conditioners[TEXT]
        states, _ = conditioner(conditioner.tokenize([text]))
        return states

    def _encode_melody(self, reference: FileState | None) -> torch.Tensor:
        """Return the states of the chroma of a recording, repeated or cut to the one length that the model knows."""
        conditioner = self._conditioners[MELODY]
        rate = conditioner.sample_rate
        wave = torch.zeros(1, 1)  # what the library takes for silence
        if reference is not None:
            # a little more than is used, so that resampling meets no edge there
            wave = read_clip(reference.path, conditioner.duration + 1).mono().resampled(rate).waveform
        length = torch.tensor([wave.shape[1] if reference is not None else 0])
        given = import_audiocraft().wave(wave[None], length, [rate], [None], [None])
        states, _ = conditioner(conditioner.tokenize(given))
        return states
