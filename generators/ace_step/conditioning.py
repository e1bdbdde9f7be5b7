"""From a prompt's text, lyrics and reference to what ACE-Step's transformer attends to.

Each distinct prompt is encoded once, alone and unpadded: the lyrics, the timbre of the reference (or of silence) and
the text make one sequence. Only in a batch is it padded, to a multiple of `LENGTH_MULTIPLE`, and the padding is
hidden; the pipeline of diffusers lets a prompt attend to the padding that longer neighbours cause.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from generators.shared.texts import FileState, Remembered
from music.clips import read_clip, read_header
from music.errors import InputError
from music.prompts import Prompt

LENGTH_MULTIPLE = 64
# tokens, with the model's own words around them; what it was trained with
_LONGEST = {"text": 256, "lyrics": 2048}
_EXCERPT = 10  # s; the timbre is that of three excerpts of a reference


@dataclass(frozen=True)
class _Key:
    """What the conditions of a prompt depend on."""

    text: str
    lyrics: str
    reference: FileState | None
    seconds: int


class AceStepConditioner:
    """Tokenizer, text encoder, autoencoder and condition encoder of an ACE-Step model.

    Parameters
    ----------
    tokenizer, text_encoder
        Tokenizer and model of Qwen 3.
    vae
        An `AutoencoderOobleck`.
    condition_encoder
        An `AceStepConditionEncoder`.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any, vae: Any, condition_encoder: Any) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._vae = vae
        self._condition_encoder = condition_encoder
        self._frame_rate = vae.config.sampling_rate / math.prod(vae.config.downsampling_ratios)
        self._encode = Remembered(self._encode_prompt, limit=16)  # long lyrics take many megabytes

    def check(self, prompt: Prompt, seconds: float) -> None:
        """`InputError` if text or lyrics are longer than the model takes, or the reference cannot be read.

        The pipeline of diffusers would cut them and go on.
        """
        for part, ids in zip(_LONGEST, self._ids(prompt.text, prompt.lyrics, int(seconds)), strict=True):
            if ids.shape[1] > _LONGEST[part]:
                verb = "has" if part == "text" else "have"
                raise InputError(
                    f"prompt {prompt.id!r}: its {part} {verb} {ids.shape[1]} tokens, the model takes at most "
                    f"{_LONGEST[part]}"
                )
        if prompt.reference is not None:
            read_header(prompt.reference)

    def padded_length(self, prompt: Prompt, seconds: float) -> int:
        """Return the length of a prompt's sequence in a batch."""
        text, lyrics = self._ids(prompt.text, prompt.lyrics, int(seconds))
        length = text.shape[1] + lyrics.shape[1] + 1
        return -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE

    def batch(self, prompts: Sequence[Prompt], seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return states `[B, S, D]` of prompts of one padded length S, and where they hold something, `[B, S]`."""
        length = self.padded_length(prompts[0], seconds)
        states = [self._encode(_key(prompt, seconds)) for prompt in prompts]
        mask = torch.stack([torch.arange(length) < len(each) for each in states])
        return torch.stack([pad(each, (0, 0, 0, length - len(each))) for each in states]), mask

    def silence(self, frames: int) -> torch.Tensor:
        """Return the latents of silence, `[frames, channels]`."""
        known = self._condition_encoder.silence_latent[0]
        return known.repeat(-(-frames // len(known)), 1)[:frames]

    def _ids(self, text: str, lyrics: str, seconds: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens of text and lyrics, in the words that the model was trained with, `[1, tokens]` each."""
        from diffusers import AceStepPipeline

        # It needs a pipeline only for a static method of the class, and of the duration takes the whole seconds;
        # the half makes sure that 0 does not stand for a default.
        pipeline: Any = AceStepPipeline
        parts = pipeline._format_prompt(pipeline, text, lyrics, audio_duration=seconds + 0.5)
        device = self._text_encoder.device
        found = [
            self._tokenizer(part, truncation=False, verbose=False, return_tensors="pt") for part in parts
        ]
        return found[0]["input_ids"].to(device), found[1]["input_ids"].to(device)

    def _encode_prompt(self, key: _Key) -> torch.Tensor:
        """Return lyrics, timbre and text, `[S, D]`."""
        text, lyrics = self._ids(key.text, key.lyrics, key.seconds)
        if key.reference is None:
            timbre = self.silence(math.ceil(3 * _EXCERPT * self._frame_rate))[None]
        else:
            timbre = self._timbre(key.reference.path)
        states, _ = self._condition_encoder(
            text_hidden_states=self._text_encoder(input_ids=text).last_hidden_state,
            text_attention_mask=torch.ones_like(text, dtype=torch.bool),
            lyric_hidden_states=self._text_encoder.get_input_embeddings()(lyrics),
            lyric_attention_mask=torch.ones_like(lyrics, dtype=torch.bool),
            refer_audio_acoustic_hidden_states_packed=timbre,
            refer_audio_order_mask=torch.zeros(1, dtype=torch.long, device=text.device),
        )
        return states[0]

    def _timbre(self, reference: Path) -> torch.Tensor:
        """Return the latents of a reference's beginning, middle and end, `[1, frames, channels]`.

        The mean of the autoencoder's distribution, where the pipeline draws from it.
        """
        rate, channels = self._vae.config.sampling_rate, self._vae.config.audio_channels
        clip = read_clip(reference).resampled(rate)
        if clip.channels != channels:
            clip = clip.mono()
        waveform = excerpts(clip.waveform.expand(channels, -1), _EXCERPT * rate)
        latents = self._vae.encode(waveform[None].to(self._vae.device)).latent_dist.mode()
        return latents.transpose(1, 2)


def excerpts(waveform: torch.Tensor, length: int) -> torch.Tensor:
    """Return beginning, middle and end of a waveform `[channels, samples]`, `length` samples each, in one.

    A waveform that is shorter than three excerpts is repeated.
    """
    waveform = waveform.repeat(1, -(-3 * length // waveform.shape[1]))
    total = waveform.shape[1]
    return torch.cat(
        [waveform[:, start : start + length] for start in (0, total // 3, total - length)], dim=1
    )


def _key(prompt: Prompt, seconds: float) -> _Key:
    return _Key(prompt.text, prompt.lyrics, FileState.of(prompt.reference), int(seconds))
