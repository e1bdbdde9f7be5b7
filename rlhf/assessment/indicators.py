"""What a clip sounds like to a meter: where these move with the reward, a generator may have found a way around it.

- `level`: root mean square, dBFS.
- `true_peak`: of the waveform between the samples too, by fourfold oversampling (as ITU-R BS.1770-5, annex 2), dBTP.
- `silence`: share of frames of 50 ms below -60 dBFS.
- `flatness`: geometric over arithmetic mean of the power spectrum, averaged over frames: 0 is a pure tone, white noise
  has 0.56.
- `repetition`: the highest correlation of the clip's log spectrogram with itself at a lag of half a second or more: 1
  is a loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from music.clips import Clip, read_clip
from music.hashing import sha256_text
from reward.protocol import Scorer, ScoreRequest
from reward.scoring.level import level_of
from rlhf.guarded_reward import silent_share

_ARITHMETIC = 1  # part of the hash: raise it with any change of the code that moves the numbers
_FLOOR = 1e-10  # of power; what is below it is silence
_WINDOW, _HOP = 1024, 512
_SHORTEST = 0.5  # s, of a loop


class Meters(Scorer):
    """The indicators in the form of a scorer, so that they lie beside a pool."""

    name = "indicators"
    metrics = ("level", "true_peak", "silence", "flatness", "repetition")
    hash = sha256_text(f"indicators {_ARITHMETIC}")
    higher_is_better = False
    takes_clips = True

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the indicators of each request; see `reward.protocol.Scorer`."""
        heard = [one.audio for one in requests]
        return [indicators(read_clip(audio) if isinstance(audio, Path) else audio) for audio in heard]


def indicators(clip: Clip) -> dict[str, float]:
    """Return the indicators of a clip, by name; silence has -200 in place of minus infinity."""
    power = _spectrogram(clip)
    return {
        "level": max(-200.0, level_of(clip.waveform)),
        "true_peak": _true_peak(clip),
        "silence": silent_share(clip),
        "flatness": _flatness(power),
        "repetition": _repetition(power, round(_SHORTEST * clip.sample_rate / _HOP)),
    }


def _true_peak(clip: Clip) -> float:
    peak = float(clip.resampled(4 * clip.sample_rate).waveform.abs().max())
    return max(-200.0, 20 * math.log10(peak)) if peak > 0 else -200.0


def _spectrogram(clip: Clip) -> torch.Tensor:
    """Return the power spectrogram `[frames, bins]` of all channels together."""
    wave = clip.mono().waveform[0].double()
    wave = torch.nn.functional.pad(wave, (0, max(0, _WINDOW - len(wave))))
    frames = wave.unfold(0, _WINDOW, _HOP) * torch.hann_window(_WINDOW, dtype=torch.double)
    return torch.fft.rfft(frames).abs().square()


def _flatness(power: torch.Tensor) -> float:
    """Return the mean flatness of the frames that are not silent; 0 if all are."""
    loud = power[power.mean(dim=1) > _FLOOR].clamp(min=_FLOOR)
    return float((loud.log().mean(dim=1).exp() / loud.mean(dim=1)).mean()) if len(loud) else 0.0


def _repetition(power: torch.Tensor, shortest: int) -> float:
    """Return the highest correlation with itself at a lag of `shortest` frames to half of the clip; 0 without one."""
    logs = power.clamp(min=_FLOOR).log()
    logs = logs - logs.mean()
    found = [0.0]
    for lag in range(shortest, len(logs) // 2 + 1):
        one, other = logs[lag:], logs[:-lag]
        scale = float(one.square().sum() * other.square().sum())
        if scale > 0:
            found.append(float((one * other).sum()) / math.sqrt(scale))
    return max(found)
