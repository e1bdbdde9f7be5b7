"""How far a trained generator has gone from the one it began as, measured on its own clips.

- MusicGen (`rlhf.musicgen.divergence`): `k3_per_code` and `k3_per_clip`, nats. With p the log-probability of a code
  by the model that drew it and r by the one before, the estimator k3 of Schulman, exp(r - p) - (r - p) - 1, of
  KL(model || before): never below 0. `k3_per_clip` is the sum over the codes of a clip.
- Stable Audio (`rlhf.stable_audio.divergence`): `velocity_mse`, the mean squared difference of the velocities that
  both say at the same noised latents. It is no number of nats, and does not compare with the others.

Other generators have none. The numbers lie beside the pool, as scores do, and are not computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from generators import Generator
from generators.diffusion.sampling import DiffusionOptions
from generators.musicgen.generator import MusicGen
from generators.musicgen.sampling import SamplingOptions
from generators.stable_audio.diffusers.generator import StableAudio
from music.candidate import Candidate
from music.hashing import canonical_json, sha256_text
from music.intervals import Array
from music.pool import Pool
from music.processes import Processes
from music.scores import ScoreTable
from reward.scoring.pool import batched

#: the divergence of a frontier, and its unit
UNITS = {"k3_per_clip": "nats a clip", "velocity_mse": "squared velocity, not nats"}
_TABLE = "divergence"  # beside the pool
_BATCH = 8  # clips at once
_ARITHMETIC = 1  # part of the hash: raise it with any change of the code that moves the numbers


@dataclass(frozen=True)
class Sampled:
    """What a generator's divergence hangs on, without its weights in memory.

    Attributes
    ----------
    folder
        Of the model.
    weights
        Their hash.
    options
        How it samples.
    """

    folder: Path
    weights: str
    options: SamplingOptions | DiffusionOptions


class Divergence(Protocol):
    """Divergence of one model from another.

    Attributes
    ----------
    metrics
        What it measures.
    """

    metrics: tuple[str, ...]

    def __call__(self, pool: Pool, candidates: Sequence[Candidate]) -> list[dict[str, float]]:
        """Return the metrics of clips that the model made."""
        ...


def sampled(generator: Generator) -> Sampled | None:
    """Return what the divergence of a generator hangs on; None of one that has none."""
    plain = isinstance(generator, MusicGen) and "reference" not in generator.accepts
    if not (plain or isinstance(generator, StableAudio)):
        return None
    assert isinstance(generator, MusicGen | StableAudio)
    assert generator.folder is not None
    return Sampled(generator.folder, generator.spec["weights"], generator.options)


def divergence_between(
    base: Sampled | None, model: Sampled | None, device: torch.device
) -> Divergence | None:
    """Return what measures a model against its base; None unless they are of one kind and sample alike."""
    if base is None or model is None or base.options != model.options:
        return None
    if isinstance(model.options, SamplingOptions):
        from rlhf.musicgen.divergence import CodeDivergence

        return CodeDivergence(base.folder, model.folder, model.options, device)
    from rlhf.stable_audio.divergence import VelocityDivergence

    return VelocityDivergence(base.folder, model.folder, model.options, device)


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
    base, model
        As of `divergence_between`; where they are the same it is 0.
    pool
        Of the model.
    candidates
        N of each of P prompts.
    device
        Where.
    processes
        Who shares the work; all must call.
    """
    divergence = divergence_between(base, model, device)
    if base is None or model is None or divergence is None:
        return {}
    if model.weights == base.weights:
        return {name: np.zeros((len(candidates), len(candidates[0]))) for name in divergence.metrics}
    facts: dict[str, Any] = {"arithmetic": _ARITHMETIC, "base": base.weights, "model": model.weights}
    facts["options"] = asdict(model.options)
    flat = [candidate for row in candidates for candidate in row]
    found = _measured(pool, flat, divergence, sha256_text(canonical_json(facts)), processes)
    return {
        name: np.reshape([one[name] for one in found], (len(candidates), -1)) for name in divergence.metrics
    }


def _measured(
    pool: Pool, candidates: Sequence[Candidate], divergence: Divergence, identity: str, processes: Processes
) -> list[dict[str, float]]:
    """Return the metrics of each candidate, measuring those that are not there yet."""
    from tqdm import tqdm

    with ScoreTable(pool.folder, _TABLE, identity, divergence.metrics, processes.rank) as table:
        missing = table.missing(candidates)
        processes.barrier()  # all have read before anybody writes
        share = processes.shard(missing)
        with tqdm(total=len(share), desc=_TABLE, disable=not (processes.is_main and share)) as bar:
            for batch in batched(share, _BATCH):
                for candidate, found in zip(batch, divergence(pool, batch), strict=True):
                    table.append(candidate, found)
                bar.update(len(batch))
    processes.barrier()
    if processes.is_main:
        table.merge()
    processes.barrier()
    table.reload()
    return table.table(candidates)
