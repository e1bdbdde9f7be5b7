"""Passes audio through the generator's codec, so that judges learn from the sound that they will have to judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from generators.musicgen.spectral_codec import SpectralCodecModel


def shipped_codec(models: Path) -> SpectralCodecModel:
    """Return the codec inside the MusicGen of a folder of lab models."""
    from transformers import MusicgenForConditionalGeneration

    model = MusicgenForConditionalGeneration.from_pretrained(models / "musicgen", dtype=torch.float32)
    return model.audio_encoder.eval()


def through_codec(codec: SpectralCodecModel, wave: np.ndarray) -> np.ndarray:
    """Return float32 [samples]: the waveform encoded and decoded again."""
    with torch.no_grad():
        codes = codec.encode(torch.from_numpy(wave)[None, None]).audio_codes
        decoded = codec.decode(codes).audio_values[0, 0, : len(wave)]
    return decoded.clamp(-1, 1).numpy()
