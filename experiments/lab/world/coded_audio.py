"""Songs as clips, as they are or through the generator's codec: judges learn from the sound that they will judge."""

from pathlib import Path

import numpy as np
import torch

from experiments.lab.world.corpus import Song
from experiments.lab.world.rendering import SAMPLE_RATE
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import Clip
from music.progress import without_bars_of_transformers


def shipped_codec(suite: Path) -> SpectralCodecModel:
    """Return the codec inside the MusicGen of a folder of lab models."""
    from transformers import MusicgenForConditionalGeneration

    with without_bars_of_transformers():
        model = MusicgenForConditionalGeneration.from_pretrained(suite / "musicgen", dtype=torch.float32)
    return model.audio_encoder.eval()


def through_codec(codec: SpectralCodecModel, wave: np.ndarray) -> np.ndarray:
    """Return a waveform float32 [samples], encoded and decoded again."""
    with torch.no_grad():
        codes = codec.encode(torch.from_numpy(wave)[None, None]).audio_codes
        decoded = codec.decode(codes).audio_values[0, 0, : len(wave)]
    return decoded.clamp(-1, 1).numpy()


def clip_of(one: Song, codec: SpectralCodecModel | None = None) -> Clip:
    """Return a song as a clip, through the codec if there is one."""
    wave = one.waveform()
    coded = wave if codec is None else through_codec(codec, wave)
    return Clip(torch.from_numpy(coded)[None], SAMPLE_RATE)
