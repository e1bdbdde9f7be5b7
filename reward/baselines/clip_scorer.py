"""Scorers whose model hears one clip at a time, so that no score depends on what else is scored."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from music.devices import find_device, find_dtype
from music.hashing import canonical_json, sha256_text
from music.prompts import Prompt
from reward.baselines.waves import first_seconds, mono_wave
from reward.cmi_rm.weights import hash_tensors
from reward.hearing import Hearing
from reward.protocol import Scorer, ScoreRequest


class ClipScorer(Scorer):
    """A scorer that loads its model in `load` and says in `measure` what a clip gets.

    Parameters
    ----------
    place
        Folder or hub id of the model; the scorer is named after it, unless it is a published one.
    device
        Device of the model: auto, cpu, cuda ...
    dtype
        Numeric type: float32, or bfloat16 through autocast.

    Attributes
    ----------
    kind
        Name of a scorer with a published model.
    published
        Pattern of the hub ids of such models.
    sample_rate
        Rate at which the model hears, Hz.
    libraries
        Packages that compute the scores, beside torch and soxr; their versions are part of the hash.

    Raises
    ------
    InputError
        If a library, the model, the device or the numeric type does not exist, or the model is damaged.
    """

    kind: str
    published: str
    sample_rate: int
    libraries: tuple[str, ...]
    max_seconds: float = 120.0  # the length that CMI-RewardBench is scored with
    takes_clips = True

    def __init__(self, place: str, device: str = "auto", dtype: str = "float32") -> None:
        self.name = self.kind if fnmatchcase(place, self.published) else Path(place).name
        self._device, self._dtype = find_device(device), find_dtype(dtype)
        model, facts = self.load(place)
        self._model: Any = model.eval().requires_grad_(False)
        decides = {
            "weights": hash_tensors(model.state_dict()),
            "facts": dict(facts),
            "seconds": self.max_seconds,
            "dtype": dtype,
            "versions": {name: version(name).split("+")[0] for name in ("torch", "soxr", *self.libraries)},
        }
        self.hash = sha256_text(canonical_json(decides))
        self.hears = (Hearing(True, self.sample_rate, self.max_seconds),)
        self._model.to(self._device)

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the metrics of each request; see `reward.protocol.Scorer`."""
        return [self._score(request) for request in requests]

    @torch.no_grad()
    def _score(self, request: ScoreRequest) -> dict[str, float]:
        wave = mono_wave(first_seconds(request.audio, self.max_seconds), self.sample_rate)
        return dict(zip(self.metrics, self.measure(wave, request.prompt), strict=True))

    @abstractmethod
    def load(self, place: str) -> tuple[nn.Module, Mapping[str, Any]]:
        """Return the model with its weights, on the CPU, and what else decides its scores, for the hash.

        The latter are configs, lengths, and a number to raise with any change of the code that moves scores.
        """

    @abstractmethod
    def measure(self, wave: torch.Tensor, prompt: Prompt) -> Sequence[float]:
        """Return a number for each of `metrics`, of a wave `[samples]` at `sample_rate`, not empty, on the CPU.

        Raises
        ------
        InputError
            If the wave is too short, or the prompt lacks what the measure needs.
        """

    def _autocast(self) -> torch.autocast:
        """Return the context that models are called in."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16)
