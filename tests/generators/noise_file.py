"""A reference that no codec takes for silence."""

from pathlib import Path

import numpy as np
import soundfile


def write_noise(path: Path, seed: int, rate: int = 16_000, seconds: float = 1.0, channels: int = 2) -> Path:
    """Write noise and return the file."""
    noise = np.random.default_rng(seed).normal(size=(round(seconds * rate), channels))
    soundfile.write(path, 0.2 * noise.clip(-4, 4), rate, subtype="FLOAT")
    return path
