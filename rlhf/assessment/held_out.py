"""Measures models on held-out prompts, all with the same noise; what has been made or measured is taken up.

Each model makes n clips a prompt into ``pools/NAME``. Beside them lie the scores of the reward and of the judges,
the divergence from the base (`rlhf.assessment.divergence`) and the meters (`rlhf.assessment.indicators`);
``embeddings`` holds what diversity (`rlhf.assessment.diversity`) is measured by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from generators import Generator, fill_pool
from music.candidate import Candidate
from music.devices import find_device
from music.intervals import Array
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from reward import RewardWeights, Scorer
from reward.baselines.similarity import JointEmbedding
from reward.protocol import are_independent
from reward.scoring.candidates import metric_names, score_candidates
from rlhf.assessment.comparison import DIVERGENCE, DIVERSITY, JUDGE, PROXY, REWARD, SOUND, Measured, Metric
from rlhf.assessment.divergence import Sampled, measure_divergence, sampled
from rlhf.assessment.diversity import EmbeddingStore, distance_within, kernel_audio_distance, vendi_score
from rlhf.assessment.indicators import Meters


@dataclass(frozen=True)
class Asked:
    """What models are asked for.

    Attributes
    ----------
    prompts
        Held out: nothing was learned from them.
    n
        Clips a prompt.
    seconds
        Of a clip.
    seed
        Of all noise.
    real
        Files of real clips, of which as many seconds are heard.
    """

    prompts: Sequence[Prompt]
    n: int
    seconds: float
    seed: int
    real: Sequence[Path] = field(default=())


class HeldOut:
    """Measures one model after the other; the first is the base.

    Parameters
    ----------
    folder
        For all that is made.
    asked
        What for.
    load
        Gives the generator of a name or folder.
    scorers
        The reward model as it was trained on, then the judges.
    reward
        What its metrics make.
    encoders
        What diversity and distance are measured by.
    device
        auto, cpu, cuda ...
    processes
        Who shares the work.

    Attributes
    ----------
    metrics
        What is measured.

    Raises
    ------
    InputError
        If two metrics would be called the same, or the reward model lacks one.
    """

    def __init__(
        self,
        folder: Path,
        asked: Asked,
        load: Callable[[str | Path], Generator],
        scorers: Sequence[Scorer],
        reward: RewardWeights,
        encoders: Sequence[JointEmbedding],
        device: str,
        processes: Processes,
    ) -> None:
        reward.check(tuple(scorers[0].metrics))
        self._folder, self._asked, self._load = folder, asked, load
        self._scorers, self._reward, self._encoders = scorers, reward, encoders
        self._device, self._processes = find_device(device), processes
        self._base: Sampled | None = None
        self._real: dict[str, Array] = {}
        self._measured: dict[str, Measured] = {}
        self.metrics = [*self._judging(metric_names(scorers)), *self._others()]

    @property
    def measured(self) -> list[Measured]:
        """All models so far, the base first."""
        return list(self._measured.values())

    def pool(self, name: str) -> Pool:
        """Return the pool of a model that was measured."""
        return Pool(self._folder / "pools" / name)

    def measure(self, name: str, source: str | Path) -> Measured:
        """Measure a model; every process must call it.

        Parameters
        ----------
        name
            For tables, and of its pool.
        source
            A name, hub id or folder.

        Raises
        ------
        InputError
            If its pool holds clips of another model or of other options, or a clip cannot be scored by the reward.
        """
        asked, processes = self._asked, self._processes
        pool = Pool(self._folder / "pools" / name, create=True)
        generator = self._load(source)
        fill_pool(generator, asked.prompts, asked.n, asked.seconds, pool, asked.seed, processes)
        model = sampled(generator)
        del generator  # its weights: others are loaded now
        if not self._measured:
            self._base = model
        candidates = pool.candidates_of(asked.prompts, asked.n)
        scores = score_candidates(self._scorers, pool, candidates, processes, leave_out=True)
        reward = self._reward(scores)
        found = {REWARD: reward, **scores}
        found |= measure_divergence(self._base, model, pool, candidates, self._device, processes)
        found |= score_candidates([Meters()], pool, candidates, processes)
        of_all = {}
        for encoder in self._encoders:
            embedded = self._embedded(encoder, pool, candidates)
            of_all[f"vendi.{encoder.name}"] = float(
                np.mean([vendi_score(one) for one in embedded.swapaxes(0, 1)])
            )
            if asked.n > 1:
                found[f"distance_within.{encoder.name}"] = np.array(distance_within(list(embedded)))[:, None]
            if asked.real:
                made = embedded.reshape(-1, embedded.shape[-1])
                of_all[f"kad.{encoder.name}"] = kernel_audio_distance(made, self._real[encoder.name])
        self._measured[name] = Measured(name, found, of_all)
        return self._measured[name]

    def _embedded(
        self, encoder: JointEmbedding, pool: Pool, candidates: Sequence[Sequence[Candidate]]
    ) -> Array:
        """Return the embeddings of clips, `[P, N, D]`; those of the real ones are there afterwards, too."""
        store = EmbeddingStore(self._folder / "embeddings", encoder, self._asked.seconds)
        if self._asked.real and encoder.name not in self._real:
            self._real[encoder.name] = store.embed(self._asked.real, self._processes)
        flat = store.embed([pool.path(one) for row in candidates for one in row], self._processes)
        return flat.reshape(len(candidates), len(candidates[0]), -1)

    def _judging(self, names: Sequence[dict[str, str]]) -> list[Metric]:
        proxy, *judges = self._scorers
        found = [Metric(name, PROXY) for name in (REWARD, *names[0].values())]
        for judge, called in zip(judges, names[1:], strict=True):
            kind, independent = JUDGE if judge.higher_is_better else SOUND, are_independent(proxy, judge)
            found += [Metric(name, kind, independent) for name in called.values()]
        return found

    def _others(self) -> list[Metric]:
        found = [Metric(name, DIVERGENCE) for name in ("k3_per_code", "k3_per_clip", "velocity_mse")]
        for encoder in self._encoders:
            found += [
                Metric(f"{name}.{encoder.name}", DIVERSITY) for name in ("vendi", "distance_within", "kad")
            ]
        return found + [Metric(name, SOUND) for name in Meters.metrics]
