"""MusicGen (Copet et al. 2023), mono, stereo and melody, in its authors' own format, through audiocraft.

Language model, conditioners and codec are the library's. The loop over the steps is our own, because the library's
`generate` draws a whole batch from torch's global stream and pads texts to the longest of a batch, which its attention
looks at: see `generators.musicgen.sampling`.

It conditions on the text of a prompt, melody models also on the melody of its reference, whatever its length. It does
not look at lyrics.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from generators.musicgen.audiocraft.library import LIBRARIES, attention, import_audiocraft
from generators.musicgen.audiocraft.loading import (
    LANGUAGE_MODEL,
    MELODY,
    TEXT,
    AudiocraftParts,
    download_audiocraft,
    load_parts,
)
from generators.musicgen.code_generator import CodeGenerator
from generators.musicgen.sampling import CodeDecoder, SamplingOptions
from generators.shared.batch_generator import check_batch_size
from generators.shared.model_folder import locate
from generators.shared.texts import FileState, Remembered, check_length, longest_text, token_count
from music.clips import read_clip, read_header
from music.devices import find_device, find_dtype
from music.prompts import Prompt

# Of each condition its states `[rows, positions, dimension]`, and None: the library does not look at their mask.
Conditions = dict[str, tuple[torch.Tensor, None]]


class AudiocraftConditioner:
    """The conditioners of an `LMModel`.

    Each distinct text and reference is encoded once and alone, and remembered: the weights are taken to stay as they
    are. audiocraft's attention looks at the padding of texts too, so that a clip would depend on the longest text
    beside it: texts are never padded, and only those of the same length share a batch.

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


class StreamingDecoder:
    """A language model of audiocraft that streams, of B clips; see `generators.musicgen.sampling.CodeDecoder`.

    Parameters
    ----------
    model
        An `LMModel` in evaluation mode, while its `streaming()` lasts.
    conditions
        What each clip is conditioned on; with guidance, the rows without conditions follow.
    clips
        Number of clips B.
    guidance
        Scale of classifier-free guidance; 1 runs no branch without conditions.
    """

    def __init__(self, model: Any, conditions: Conditions, clips: int, guidance: float) -> None:
        self._model = model
        self._conditions = conditions
        self._clips = clips
        self._guidance = guidance
        device = next(model.parameters()).device
        self.first = torch.full((clips, model.num_codebooks), model.special_token_id, device=device)

    @torch.inference_mode()
    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed one position and return the logits of the next."""
        fed = torch.cat([tokens, tokens]) if self._guidance > 1 else tokens
        found = self._model(fed[..., None], conditions=[], condition_tensors=self._conditions)
        logits: torch.Tensor = found[:, :, -1].float()
        if self._guidance > 1:
            towards, away = logits.chunk(2)
            logits = torch.lerp(away, towards, self._guidance)
        return logits

    def past(self, row: int) -> dict[str, torch.Tensor]:
        """Return the library's state of a clip: what is a row for each clip, and what all clips share."""
        return {
            name: part[row :: self._clips].clone() if part.ndim else part.clone()
            for name, part in self._model.get_streaming_state().items()
        }

    def go_on(self, pasts: Sequence[dict[str, torch.Tensor]], position: int) -> None:
        """Go on with the states of B clips."""
        self._model.set_streaming_state(
            {
                name: torch.stack([past[name] for past in pasts], dim=1).flatten(0, 1)
                if part.ndim
                else part.clone()
                for name, part in pasts[0].items()
            }
        )


class AudiocraftMusicGen(CodeGenerator):
    """A MusicGen of audiocraft; see `generators.musicgen.code_generator.CodeGenerator`.

    Parameters
    ----------
    parts
        Parts of the model.
    dtype
        Numeric type of its transformer.
    name, options, batch_size
        See `generators.musicgen.code_generator.CodeGenerator`.
    """

    sampler = 1
    backend = "audiocraft"
    libraries = ("audiocraft", "numpy", "torch", "transformers")

    def __init__(
        self,
        name: str,
        parts: AudiocraftParts,
        dtype: torch.dtype,
        options: SamplingOptions,
        batch_size: int,
    ) -> None:
        model = parts.language_model
        device, codes = next(model.parameters()).device, (model.num_codebooks, model.card)
        super().__init__(name, parts.weights, options, batch_size, device, dtype, codes, parts.frame)
        self.sample_rate = parts.codec.sample_rate
        self.channels = parts.codec.channels
        self.max_seconds = parts.seconds
        self._parts = parts
        self._dtype = dtype
        self._conditioner = AudiocraftConditioner(model, guided=options.guidance > 1)
        if self._conditioner.hears_melodies:
            self._accept_references()

    def _check(self, prompt: Prompt, seconds: float) -> None:
        self._conditioner.check(prompt)

    def _kind(self, prompt: Prompt, seconds: float) -> Hashable:
        return self._conditioner.length(prompt)

    @contextmanager
    def _decoder(self, prompts: Sequence[Prompt], steps: int) -> Iterator[CodeDecoder]:
        model = self._parts.language_model
        conditions = {
            name: (states.to(self._dtype), mask)
            for name, (states, mask) in self._conditioner.batch(prompts).items()
        }
        exact = self._dtype == torch.float32
        autocast = nullcontext() if exact else torch.autocast(self._device.type, self._dtype)
        with autocast, model.streaming(), attention():
            yield StreamingDecoder(model, conditions, len(prompts), self.options.guidance)

    def _audio(self, codes: torch.Tensor) -> torch.Tensor:
        return self._parts.codec.decode(codes[None], None)[0]


def load_audiocraft(
    name: str,
    source: str,
    device: str = "auto",
    dtype: str = "float32",
    guidance: float = 3.0,
    temperature: float = 1.0,
    top_k: int = 250,
    batch_size: int = 16,
) -> AudiocraftMusicGen:
    """Load a MusicGen of audiocraft; see `generators.musicgen.generator.load_musicgen`.

    The default options are those of audiocraft; a continuation is not among them.
    """
    options = SamplingOptions(guidance, temperature, top_k)
    check_batch_size(batch_size)
    place, kind = find_device(device), find_dtype(dtype)
    LIBRARIES.check()
    folder = locate(name, source, LANGUAGE_MODEL, download_audiocraft)
    return AudiocraftMusicGen(name, load_parts(folder, place, kind), kind, options, batch_size)
