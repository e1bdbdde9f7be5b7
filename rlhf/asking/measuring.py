"""How good a reward is on what a generator makes: beside answers, beside older rows, and beside judges.

`agreement` compares a reward with preferences: accuracy, and how far its probabilities are right. `HeldOut` compares
it with judges on prompts that nobody is asked about: how alike both order the candidates of a prompt (the mean over
prompts of Spearman's correlation within each; a prompt all of whose candidates are equal to one of the two has none),
and what the judges say of the reward's best of n (`scaling.summary`). Intervals are over prompts, 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from music.intervals import Array, Estimate, estimate_columns, estimate_mean
from music.pool import Candidate, Pool
from music.processes import Processes
from reward import RewardWeights, Scorer
from reward.bradley_terry import accuracy_of, calibration_error_of, cross_entropy_of
from reward.judgements import HEADS, Preference
from reward.protocol import ScoreRequest, judging, scores_of, twins_of
from reward.scoring.candidates import metric_names, score_candidates
from reward.simulated_votes import answering
from scaling.estimators import best_of_n
from scaling.summary import summarise

REWARD = "reward"


def agreement(
    rows: Sequence[Preference], differences: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, Any]]:
    """Return for each head how far a reward agrees with preferences.

    Parameters
    ----------
    rows
        Preferences.
    differences
        For each head the reward's score of a - score of b for each row.

    Returns
    -------
    dict
        ``found[head]`` with `accuracy` and its Wilson interval `low` and `high`, `pairs` that are no ties, `equal`
        scores, `cross_entropy` and `ece`, the calibration error; None without pairs.
    """
    found = {}
    for head in HEADS:
        labels = [getattr(row, head) for row in rows]
        counted = asdict(accuracy_of(differences[head], labels))
        value = counted.pop("value")
        found[head] = {
            "accuracy": value if counted["pairs"] else None,
            **counted,
            "cross_entropy": cross_entropy_of(differences[head], labels),
            "ece": calibration_error_of(differences[head], labels),
        }
    return found


def agreement_of(scorer: Scorer, rows: Sequence[Preference]) -> dict[str, dict[str, Any]]:
    """Return the `agreement` of a scorer, which hears the clips of the rows."""
    requests = [ScoreRequest(path, row.prompt) for row in rows for path in row.audio]
    scores = scores_of(scorer, requests)
    pairs = list(zip(scores[::2], scores[1::2], strict=True))
    return agreement(rows, {head: [a[head] - b[head] for a, b in pairs] for head in HEADS})


class HeldOut:
    """Compares rewards with judges on the candidates of prompts that nobody is asked about.

    Parameters
    ----------
    pool
        Pool with all candidates.
    candidates
        N candidates of each of P prompts.
    judges
        The judges.
    reward
        Weights of the reward's metrics.
    processes
        Processes that share the work.
    seed
        Seed of the resampling of prompts.
    """

    def __init__(
        self,
        pool: Pool,
        candidates: Sequence[Sequence[Candidate]],
        judges: Sequence[Scorer],
        reward: RewardWeights,
        processes: Processes,
        seed: int,
    ) -> None:
        self._pool, self._candidates, self._judges = pool, candidates, list(judges)
        self._reward, self._processes, self._seed = reward, processes, seed
        self._first: dict[str, Array] | None = None
        self._judged: dict[str, Array] = {}

    def measure(self, scorer: Scorer) -> dict[str, Any]:
        """Return what was found of a reward, and beside it what changed since the first that was measured.

        Returns
        -------
        dict
            ``within_prompt[metric of the reward][metric of a judge]``, the correlation; what `summarise` gives; and
            ``since_first``, of each judge's metric of the reward's best of N the difference from that of the first
            reward, paired by prompt.
        """
        scorers = [scorer, *self._judges]
        own, *others = metric_names(scorers)
        metrics = score_candidates(scorers, self._pool, self._candidates, self._processes)
        rewards = self._reward(metrics)
        better = [
            names[name]
            for judge, names in zip(self._judges, others, strict=True)
            for name in judging(names)
            if judge.higher_is_better
        ]
        judged = self._judged = {name: metrics[name] for name in better}
        mine = {REWARD: rewards, **{name: metrics[name] for name in judging(own)}}
        found: dict[str, Any] = {"within_prompt": self._correlations(mine, judged)}
        found |= summarise(rewards, judged, self._seed, twins_of(self._judges))
        chosen = {name: best_of_n(rewards, values, rewards.shape[1]) for name, values in judged.items()}
        if self._first is None:
            self._first = chosen
        elif chosen:
            found["since_first"] = self._moved(chosen, self._first)
        return found

    def change_from(self, other: HeldOut) -> dict[str, Any]:
        """Return how far judges' means over the candidates of a prompt differ from those of another generator.

        Both were measured, and have the same judges and prompts.
        """
        now, then = ({name: one.mean(axis=1) for name, one in each._judged.items()} for each in (self, other))
        return self._moved(now, then) if now else {}

    def _moved(self, now: Mapping[str, Array], then: Mapping[str, Array]) -> dict[str, Any]:
        """Return differences of metrics `[P]`, paired by prompt."""
        moved = np.stack([now[name] - then[name] for name in now], axis=1)
        estimates = estimate_columns(moved, self._seed)
        return {name: _entry(one) for name, one in zip(now, estimates, strict=True)}

    def _correlations(
        self, mine: Mapping[str, Array], judged: Mapping[str, Array]
    ) -> dict[str, dict[str, Any]]:
        asked = {
            name: [one for head in HEADS if name.endswith(head) for one in answering(judged, head)]
            for name in mine
        } | {REWARD: list(judged)}
        return {
            name: {other: self._correlation(values, judged[other]) for other in asked[name]}
            for name, values in mine.items()
        }

    def _correlation(self, one: Array, other: Array) -> dict[str, Any]:
        within = within_prompt(one, other)
        known = [value for value in within if not np.isnan(value)]
        return _entry(estimate_mean(known, range(len(known)), self._seed) if known else Estimate(np.nan))


def within_prompt(one: Array, other: Array) -> list[float]:
    """Return Spearman's correlation of two metrics `[P, N]` within each prompt; NaN where one of them is constant."""
    from scipy.stats import rankdata

    first, second = (
        ranks - ranks.mean(axis=1, keepdims=True)
        for ranks in (rankdata(one, axis=1), rankdata(other, axis=1))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        norms = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        return list(map(float, np.where(norms > 0, (first * second).sum(axis=1) / norms, np.nan)))


def _entry(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as it stands in ``summary.json``."""
    columns = estimate.columns("mean")
    interval = None if columns["low"] is None else [columns["low"], columns["high"]]
    return {"mean": columns["mean"], "ci95": interval, "prompts": estimate.prompts}
