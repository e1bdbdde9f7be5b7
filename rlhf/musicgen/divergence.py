"""The divergence of one MusicGen from another, by the probabilities of the codes that were sampled.

Both are those of `rlhf.musicgen.policy`, in float32: with guidance and temperature, before `top_k` cuts the unlikely
ones off. Where the sampler cuts, the estimate of k3 is that of the codes that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from generators.musicgen.loading import load_model
from music.candidate import Candidate
from music.optional_libraries import OptionalLibraries, install_extra
from rlhf.assessment.divergence import Divergence


class CodeDivergence(Divergence):
    """Estimates of the Kullback-Leibler divergence, nats."""

    metrics = ("k3_per_code", "k3_per_clip")
    libraries = OptionalLibraries("the divergence of a MusicGen", ("trl",), install_extra("rlhf"))

    @cached_property
    def _loaded(self) -> tuple[list[Any], Any]:
        """The policies of model and base, and the tokenizer."""
        from rlhf.musicgen.policy import MusicgenPolicy

        found = [load_model(folder, self._device, torch.float32) for folder in self._folders]
        guidance, temperature = self._options.guidance, self._options.temperature
        return [MusicgenPolicy(one, guidance, temperature) for one, _ in found], found[0][1]

    def _measured(self, candidates: Sequence[Candidate]) -> torch.Tensor:
        from rlhf.musicgen.policy import IGNORED, flat_codes

        policies, tokenizer = self._loaded
        rows, labels = [], []
        for candidate in candidates:
            ids, codes = (
                tokenizer(candidate.text)["input_ids"],
                flat_codes(self._pool.tokens(candidate).long()),
            )
            rows.append(torch.tensor([*ids, *codes]))
            labels.append(torch.tensor([IGNORED] * len(ids) + codes))
        padded, targets = (
            pad_sequence(some, batch_first=True, padding_value=filler).to(self._device)
            for some, filler in ((rows, 0), (labels, IGNORED))
        )
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(self._device)
        with torch.no_grad():
            own, before = (policy(padded, mask, targets).log_probs.double().cpu() for policy in policies)
        nats = k3(own, before).sum(dim=1)  # 0 where there is no code
        counts = (targets != IGNORED).sum(dim=1).cpu()
        return torch.stack([nats / counts, nats], dim=1)


def k3(own: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return exp(before - own) - (before - own) - 1 of log-probabilities: never below 0."""
    gap = before - own
    return torch.expm1(gap) - gap
