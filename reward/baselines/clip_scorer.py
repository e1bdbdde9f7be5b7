"""What scorers share whose model hears one clip at a time, so that no score depends on what else is scored."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from music.devices import find_device, find_dtype
from music.hashing import canonical_json, sha256_text
from music.prompts import Prompt
from reward.baselines.waves import first_seconds, mono_wave
from reward.cmi_rm.weights import hash_tensors
from reward.protocol import ScoreRequest


class ClipScorer(ABC):
    """A scorer that says in `measure` what a clip gets.

    Parameters
    ----------
    name
        What pools and tables call it.
    model
        With its weights, on the CPU.
    facts
        What else decides its scores, for the hash: configs, lengths, and a number to raise with any change of the code
        that moves them.
    libraries
        Packages whose arithmetic the scores are, beside torch and soxr.
    device
        auto, cpu, cuda ...
    dtype
        float32, or bfloat16 through autocast.

    Raises
    ------
    InputError
        If the device or the numeric type does not exist.
    """

    metrics: tuple[str, ...]
    sample_rate: int  # Hz
    max_seconds = 120.0  # the length that CMI-RewardBench is scored with
    takes_clips = True

    def __init__(
        self,
        name: str,
        model: nn.Module,
        facts: Mapping[str, Any],
        libraries: Sequence[str],
        device: str = "auto",
        dtype: str = "float32",
    ) -> None:
        self.name, self._device, self._dtype = name, find_device(device), find_dtype(dtype)
        self._model: Any = model.eval().requires_grad_(False)
        decides = {
            "weights": hash_tensors(model.state_dict()),
            "facts": dict(facts),
            "seconds": self.max_seconds,
            "dtype": dtype,
            "versions": {name: version(name).split("+")[0] for name in ("torch", "soxr", *libraries)},
        }
        self.hash = sha256_text(canonical_json(decides))
        self._model.to(self._device)

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the metrics of each request; see `reward.protocol.Scorer`."""
        return [self._score(request) for request in requests]

    @torch.no_grad()
    def _score(self, request: ScoreRequest) -> dict[str, float]:
        wave = mono_wave(first_seconds(request.audio, self.max_seconds), self.sample_rate)
        return dict(zip(self.metrics, self.measure(wave, request.prompt), strict=True))

    @abstractmethod
    def measure(self, wave: torch.Tensor, prompt: Prompt) -> Sequence[float]:
        """Return a number for each of `metrics`.

        Parameters
        ----------
        wave
            `[samples]` at `sample_rate`, at least one, on the CPU.
        prompt
            What it was made for.

        Raises
        ------
        InputError
            If the wave is too short, or the prompt lacks what the measure needs.
        """

    def _autocast(self) -> torch.autocast:
        """Return the context that models are called in."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16)
