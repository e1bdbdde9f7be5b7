"""Clips as parts of a web page: small MP3 and mel spectrogram, both as data URIs."""

import base64
import io

import numpy as np
import soundfile
import torch

from music.clips import Clip

_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz, what MP3 knows
_MELS, _FRAMES = 96, 360  # pixels of a spectrogram
_RANGE = 70.0  # dB below the loudest that still shows
_FLOOR = 1e-10  # power


def mp3_uri(clip: Clip) -> str:
    """Return a clip as MP3 of about 64 kbit/s a channel, in a data URI."""
    rate = min((rate for rate in _MP3_RATES if rate >= clip.sample_rate), default=_MP3_RATES[-1])
    frames = clip.resampled(rate).waveform.clamp(-1, 1).numpy().T
    buffer = io.BytesIO()
    soundfile.write(buffer, frames, rate, format="MP3", bitrate_mode="VARIABLE", compression_level=0.6)
    return _uri("audio/mpeg", buffer.getvalue())


def spectrogram_uri(clip: Clip) -> str:
    """Return the mel spectrogram of a clip, in dB below its loudest point, as a PNG in a data URI."""
    import matplotlib
    from PIL import Image

    level = _mel_decibels(clip)
    pixels = np.round(np.clip(level / _RANGE + 1, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(pixels[::-1])  # low frequencies at the bottom
    image = image.resize((_FRAMES, _MELS), Image.Resampling.BILINEAR)
    palette = (matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return _uri("image/png", buffer.getvalue())


def _mel_decibels(clip: Clip) -> np.ndarray:
    """Return `[mels, frames]` in dB, 0 at the loudest."""
    size = 2 ** round(np.log2(0.064 * clip.sample_rate))  # about 64 ms
    signal = clip.mono().waveform[0]
    hop = max(1, min(size // 2, len(signal) // _FRAMES))
    window = torch.hann_window(size)
    spectrum = torch.stft(signal, size, hop, window=window, return_complex=True, pad_mode="constant")
    power = _mel_filters(size, clip.sample_rate) @ spectrum.abs().square().numpy()
    return 10 * np.log10(np.maximum(power, _FLOOR) / max(power.max(), _FLOOR))


def _mel_filters(size: int, rate: int) -> np.ndarray:
    """Return triangles evenly apart in mel, `[mels, size / 2 + 1]`; none narrower than two bins."""
    bins = np.linspace(0, rate / 2, size // 2 + 1)
    lowest, highest = 2595 * np.log10(1 + np.array([40.0, rate / 2]) / 700)
    corners = 700 * (10 ** (np.linspace(lowest, highest, _MELS + 2) / 2595) - 1)
    below, centre, above = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = 1 - (centre - bins) / np.maximum(centre - below, bins[1])
    falling = 1 - (bins - centre) / np.maximum(above - centre, bins[1])
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    return triangles / triangles.sum(axis=1, keepdims=True)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
