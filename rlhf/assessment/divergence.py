"""How far a trained generator has gone from the one it began as, measured on its own clips.

- MusicGen (`rlhf.musicgen.divergence`): `k3_per_code` and `k3_per_clip`, nats. With p the log-probability of a code
  by the model that drew it and r by the one before, the estimator k3 of Schulman, exp(r - p) - (r - p) - 1, of
  KL(model || before): never below 0. `k3_per_clip` is the sum over the codes of a clip.
- Stable Audio (`rlhf.stable_audio.divergence`): `velocity_mse`, the mean squared difference of the velocities that
  both predict at the same noised latents. It is no number of nats, and does not compare with the others.

Other generators have none. A divergence is a scorer: its numbers lie beside the pool and are not computed twice.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar

import numpy as np
import torch

from generators import Generator
from music.candidate import Candidate
from music.clips import Clip
from music.hashing import canonical_json, sha256_text
from music.intervals import Array
from music.optional_libraries import OptionalLibraries
from music.pool import Pool
from music.processes import Processes
from reward.protocol import Scorer, ScoreRequest
from reward.scoring.candidates import score_candidates
from rlhf.learners import of_class

#: class of generators -> divergence
DIVERGENCES = {
    "generators.musicgen.generator:MusicGen": "rlhf.musicgen.divergence:CodeDivergence",
    "generators.stable_audio.diffusers.generator:StableAudio": "rlhf.stable_audio.divergence:VelocityDivergence",
}
METRICS = ("k3_per_code", "k3_per_clip", "velocity_mse")
#: the divergence of a frontier, and its unit
UNITS = {"k3_per_clip": "nats a clip", "velocity_mse": "squared velocity, not nats"}
_BATCH = 8  # clips at once


@dataclass(frozen=True)
class Sampled:
    """What a generator's divergence depends on, without its weights in memory.

    Attributes
    ----------
    divergence
        Class of its divergence, an entry of `DIVERGENCES`.
    folder
        Folder of the model.
    weights
        Hash of its weights.
    options
        How it samples, a dataclass.
    """

    divergence: str
    folder: Path
    weights: str
    options: Any


class Divergence(Scorer):
    """Divergence of one model from another, as a scorer of the model's own pool; models are loaded when needed.

    Parameters
    ----------
    base, model
        Models of one kind that sample alike.
    pool
        Pool that the model has filled.
    device
        Device that both are run on.

    Attributes
    ----------
    libraries
        Libraries that it needs beside those that the project always has.
    arithmetic
        Part of the hash: raised with any change of the code that moves the numbers.
    """

    name = "divergence"
    libraries: ClassVar[OptionalLibraries | None] = None
    arithmetic: ClassVar[int] = 1

    def __init__(self, base: Sampled, model: Sampled, pool: Pool, device: torch.device) -> None:
        facts = {"arithmetic": self.arithmetic, "base": base.weights, "model": model.weights}
        self.hash = sha256_text(canonical_json({**facts, "options": asdict(model.options)}))
        self._folders, self._options = (model.folder, base.folder), model.options
        self._pool, self._device = pool, device
        self._candidates: Mapping[Path | Clip, Candidate] = {
            pool.path(candidate): candidate for candidate in pool
        }

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the metrics of each request, whose audio is a file of the pool."""
        own = [self._candidates[request.audio] for request in requests]
        batches = [own[start : start + _BATCH] for start in range(0, len(own), _BATCH)]
        rows = [row for batch in batches for row in self._measured(batch).tolist()]
        return [dict(zip(self.metrics, row, strict=True)) for row in rows]

    @abstractmethod
    def _measured(self, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Return the metrics of candidates, all of one length, `[B, metrics]`."""


def sampled(generator: Generator) -> Sampled | None:
    """Return what the divergence of a generator depends on; None of one that has none.

    Raises
    ------
    InputError
        If a library that measures it is not installed: better before the generator makes a clip.
    """
    divergence = of_class(DIVERGENCES, generator)
    if divergence is None:
        return None
    libraries = resolve_name(divergence).libraries
    if libraries is not None:
        libraries.check()
    own: Any = generator
    return Sampled(divergence, own.folder, own.spec["weights"], own.options)


def divergence_between(
    base: Sampled | None, model: Sampled | None, pool: Pool, device: torch.device
) -> Divergence | None:
    """Return what measures a model on its pool; None unless base and model are of one kind and sample alike."""
    if base is None or model is None or (base.divergence, base.options) != (model.divergence, model.options):
        return None
    return resolve_name(model.divergence)(base, model, pool, device)


def measure_divergence(
    base: Sampled | None,
    model: Sampled | None,
    pool: Pool,
    candidates: Sequence[Sequence[Candidate]],
    device: torch.device,
    processes: Processes,
) -> dict[str, Array]:
    """Return the divergence of each clip of a model, by metric, `[P, N]`; nothing where it is not defined.

    Parameters
    ----------
    base, model, pool, device
        Arguments of `divergence_between`; where both models are the same it is 0.
    candidates
        N candidates of each of P prompts.
    processes
        Processes that share the work; all must call.
    """
    divergence = divergence_between(base, model, pool, device)
    if base is None or model is None or divergence is None:
        return {}
    if model.weights == base.weights:
        return {name: np.zeros((len(candidates), len(candidates[0]))) for name in divergence.metrics}
    return score_candidates([divergence], pool, candidates, processes)
