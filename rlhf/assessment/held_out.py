"""Measures models on held-out prompts, all with the same noise; what has been made or measured is taken up.

Each model makes n clips a prompt into ``pools/NAME``. Beside them lie the scores of the reward and of the judges,
the divergence from the base (`rlhf.assessment.divergence`) and the meters (`rlhf.assessment.indicators`);
``embeddings`` holds what diversity (`rlhf.assessment.diversity`) is measured by.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from generators import fill_pool
from music.candidate import Candidate
from music.devices import find_device
from music.errors import InputError
from music.intervals import Array
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from reward import RewardWeights, Scorer
from reward.baselines.similarity import JointEmbedding
from reward.protocol import are_independent, judging
from reward.scoring.candidates import (
    metric_names,
    refuse_unscorable,
    score_candidates,
    tell_flat,
)
from rlhf.assessment.comparison import DIVERGENCE, DIVERSITY, JUDGE, PROXY, REWARD, SOUND, Measured, Metric
from rlhf.assessment.divergence import METRICS, Sampled, measure_divergence, sampled
from rlhf.assessment.diversity import (
    ClipEmbeddings,
    audio_files,
    distance_within,
    kernel_audio_distance,
    load_encoders,
    vendi_score,
)
from rlhf.assessment.indicators import Meters
from rlhf.models import load_sampler
from rlhf.options import Measuring


class HeldOut:
    """Measures one model after the other; the first is the base.

    Parameters
    ----------
    folder
        Folder for all that is made.
    options
        How clips are made and measured.
    prompts
        Prompts that nothing was learned from.
    n
        Number of clips for each prompt.
    scorers
        The reward model as it was trained on, then the judges.
    reward
        What its metrics make; one that is standardised, on the scale of the base's clips.
    processes
        Processes that share the work.

    Attributes
    ----------
    metrics
        What is measured.
    encoders
        What diversity and distance are measured by.
    real
        Files of real clips, of which as many seconds are heard.

    Raises
    ------
    InputError
        If two metrics would be called the same, the reward model lacks one, a judge can score none of the prompts, or
        an encoder or real clip is not there.
    """

    def __init__(
        self,
        folder: Path,
        options: Measuring,
        prompts: Sequence[Prompt],
        n: int,
        scorers: Sequence[Scorer],
        reward: RewardWeights,
        processes: Processes,
    ) -> None:
        reward.check(tuple(scorers[0].metrics))
        refuse_unscorable(scorers[:1], prompts)
        for judge in scorers[1:]:  # they leave out what they cannot score, but not all
            _refuse_idle(judge, prompts)
        self._folder, self._options, self._prompts, self._n = folder, options, prompts, n
        self._scorers, self._reward, self._processes = scorers, reward, processes
        self._device = find_device(options.device)
        self.encoders = load_encoders(options.encoders, options.device, options.dtype)
        self.real = audio_files(options.real) if options.real else []
        self._base: Sampled | None = None
        self._embedded_real: dict[str, Array] = {}
        self._measured: dict[str, Measured] = {}
        self.metrics = [*self._judging(metric_names(scorers)), *self._others()]

    @property
    def measured(self) -> list[Measured]:
        """All models so far, the base first."""
        return list(self._measured.values())

    def measure(self, name: str, source: str | Path) -> Measured:
        """Measure a model; every process must call it.

        Parameters
        ----------
        name
            Name for tables, and of its pool.
        source
            Name, hub id or folder of the model.

        Raises
        ------
        InputError
            If its pool holds clips of another model or of other options, or a clip cannot be scored by the reward.
        """
        options, processes = self._options, self._processes
        self._embed_real()  # files that cannot be read are told before any clip is made
        pool = Pool(self._folder / "pools" / name, create=True)
        generator = load_sampler(options, source)
        model = sampled(generator)
        fill_pool(generator, self._prompts, self._n, options.seconds, pool, options.seed, processes)
        del generator  # its weights: others are loaded now
        if not self._measured:
            self._base = model
        candidates = pool.candidates_of(self._prompts, self._n)
        scores = score_candidates(self._scorers, pool, candidates, processes, leave_out=True)
        if not self._measured:  # models are compared on one scale
            self._reward = self._reward.on(scores)
            tell_flat(self._reward, processes, name)
        found = {REWARD: self._reward(scores), **scores}
        found |= measure_divergence(self._base, model, pool, candidates, self._device, processes)
        found |= score_candidates([Meters()], pool, candidates, processes)
        of_all = {}
        for encoder in self.encoders:
            embedded = self._embedded(encoder, pool, candidates)
            diversities = [vendi_score(one) for one in embedded.swapaxes(0, 1)]
            of_all[f"vendi.{encoder.name}"] = float(np.mean(diversities))
            if self._n > 1:
                found[f"distance_within.{encoder.name}"] = np.array(distance_within(list(embedded)))[:, None]
            if self.real:
                made = embedded.reshape(-1, embedded.shape[-1])
                of_all[f"kad.{encoder.name}"] = kernel_audio_distance(made, self._embedded_real[encoder.name])
        self._measured[name] = Measured(name, found, of_all)
        return self._measured[name]

    def _embed_real(self) -> None:
        if self.real and not self._embedded_real:
            for encoder in self.encoders:
                self._embedded_real[encoder.name] = self._store(encoder).embed(self.real, self._processes)

    def _embedded(
        self, encoder: JointEmbedding, pool: Pool, candidates: Sequence[Sequence[Candidate]]
    ) -> Array:
        """Return the embeddings of clips, `[P, N, D]`."""
        files = [pool.path(one) for row in candidates for one in row]
        flat = self._store(encoder).embed(files, self._processes)
        return flat.reshape(len(candidates), len(candidates[0]), -1)

    def _store(self, encoder: JointEmbedding) -> ClipEmbeddings:
        return ClipEmbeddings(self._folder / "embeddings", encoder, self._options.seconds)

    def _judging(self, names: Sequence[dict[str, str]]) -> list[Metric]:
        proxy, *judges = self._scorers
        found = [Metric(name, PROXY) for name in (REWARD, *names[0].values())]
        for judge, called in zip(judges, names[1:], strict=True):
            better, independent = (
                judging(called) if judge.higher_is_better else (),
                are_independent(proxy, judge),
            )
            found += [
                Metric(name, JUDGE if metric in better else SOUND, independent)
                for metric, name in called.items()
            ]
        return found

    def _others(self) -> list[Metric]:
        found = [Metric(name, DIVERGENCE) for name in METRICS]
        for encoder in self.encoders:
            found += [
                Metric(f"{name}.{encoder.name}", DIVERSITY) for name in ("vendi", "distance_within", "kad")
            ]
        return found + [Metric(name, SOUND) for name in Meters.metrics]


def _refuse_idle(judge: Scorer, prompts: Sequence[Prompt]) -> None:
    """`InputError` if a judge can score no clip of any of the prompts."""
    for prompt in prompts:
        try:
            judge.check_prompt(prompt)
            return
        except InputError as error:
            reason = error
    raise InputError(f"judge {judge.name} can score none of the {len(prompts)} held-out prompts: {reason}")
