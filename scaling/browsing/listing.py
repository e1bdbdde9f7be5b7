"""A pool as it is browsed: its candidates with everything that scorers have said of them, read once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music.errors import InputError
from music.files import read_object
from music.intervals import Array
from music.paths import is_file, is_folder
from music.pool import Candidate, Pool
from music.scores import read_scores
from reward import RewardWeights

REWARD = "reward"  # the column of the weighted sum


@dataclass(frozen=True)
class Listing:
    """The candidates of one pool in canonical order, with a number for each metric.

    Attributes
    ----------
    name
        What the user calls it.
    pool
        Where the audio is.
    candidates
        All of them, `N`.
    columns
        Each metric by name, `[N]`, NaN where it is not known; the reward comes first if all its metrics are there.
    reward
        What decides, if its metrics are there.
    scorers
        Names of the scorers, with the beginnings of their hashes.
    """

    name: str
    pool: Pool
    candidates: list[Candidate]
    columns: Mapping[str, Array]
    reward: RewardWeights
    scorers: list[str]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each prompt begins, `[P]`."""
        ids = [candidate.prompt_id for candidate in self.candidates]
        return np.array([row for row, one in enumerate(ids) if row == 0 or ids[row - 1] != one], dtype=int)

    @cached_property
    def prompt_of(self) -> NDArray[np.int64]:
        """Which prompt each candidate belongs to, `[N]`."""
        sizes = np.diff([*self.starts, len(self.candidates)])
        return np.repeat(np.arange(len(self.starts)), sizes)

    @cached_property
    def rows(self) -> dict[tuple[str, int], int]:
        """The row of each candidate by prompt id and index."""
        return {candidate.key: row for row, candidate in enumerate(self.candidates)}

    @cached_property
    def audio(self) -> dict[str, Candidate]:
        """Candidates by the SHA-256 of their audio."""
        return {candidate.sha256: candidate for candidate in self.candidates}

    @cached_property
    def references(self) -> dict[str, Path]:
        """Reference clips by file name."""
        names = {candidate.reference for candidate in self.candidates if candidate.reference}
        return {Path(name).name: self.pool.folder / name for name in names}

    @cached_property
    def choices(self) -> frozenset[int]:
        """Rows of the candidates with the highest reward of their prompt; of equals the lowest index wins."""
        if REWARD not in self.columns:
            return frozenset()
        rewards = np.nan_to_num(self.columns[REWARD], nan=-np.inf)
        order = np.lexsort((-rewards, self.prompt_of))  # stable
        best = order[self.starts]
        return frozenset(int(row) for row in best if np.isfinite(rewards[row]))


def read_listing(folder: Path, weights: str | None = None) -> Listing:
    """Read a pool and all scores in it.

    A metric is called as its scorer calls it; if another scorer has it too, only that of the reward model of the last
    run, which ``run.json`` beside the pool names, and the others are `SCORER.metric`. Scores by another version of a
    scorer than that of the last run are `SCORER@HASH.metric`.

    Parameters
    ----------
    folder
        A pool, or the output folder of `scaling.best_of_n`, which holds one.
    weights
        What the reward is made of; by default that of the last run, or half musicality, half alignment.

    Raises
    ------
    InputError
        If there is no pool, a file of it is not whole, or a metric of the given weights is not there.
    """
    pool = Pool(folder / "pool" if is_folder(folder / "pool") else folder)
    if not len(pool):
        raise InputError(f"{pool.folder} has no candidates")
    record = _last_run(pool.folder.absolute())
    last = record.get("scorers", {})
    scores = read_scores(pool.folder)
    labels = _labels(scores, last)
    told = record.get("reward", {"scorers": list(last)[:1]})
    columns = _columns(pool.candidates, scores, labels, told["scorers"])
    if weights:
        reward = RewardWeights.parse(weights)
        reward.check(tuple(columns))
    elif "weights" in told:
        reward = RewardWeights.of_record(told)
    else:  # a run of before it told
        reward = RewardWeights.parse(record.get("config", {}).get("weights", RewardWeights().name))
    if set(reward.weights) <= set(columns):
        total = reward(columns)
        columns = {REWARD: total, **columns}
    scorers = [f"{labels[scorer]} ({scorer[1][:8]})" for scorer in labels]
    return Listing(str(folder), pool, pool.candidates, columns, reward, scorers)


def _last_run(pool_folder: Path) -> dict[str, Any]:
    """Return ``run.json`` of the run of `scaling.best_of_n` that a pool is part of, empty if of none."""
    path = pool_folder.parent / "run.json"
    return read_object(path) if pool_folder.name == "pool" and is_file(path) else {}


def _labels(scores: Mapping[tuple[str, str], Any], last: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return what each scorer is called, those of the last run first."""
    versions = Counter(name for name, _ in scores)
    order = {name: place for place, name in enumerate(last)}
    return {
        (name, version): name if versions[name] == 1 or last.get(name) == version else f"{name}@{version[:8]}"
        for name, version in sorted(scores, key=lambda scorer: (order.get(scorer[0], len(order)), scorer))
    }


def _columns(
    candidates: list[Candidate],
    scores: Mapping[tuple[str, str], Mapping[tuple[str, int, str], Mapping[str, float]]],
    labels: Mapping[tuple[str, str], str],
    reward_models: Sequence[str],
) -> dict[str, Array]:
    metrics = {
        scorer: list(dict.fromkeys(name for row in scores[scorer].values() for name in row))
        for scorer in labels
    }
    named = {(scorer[0], metric) for scorer in labels for metric in metrics[scorer]}
    counts = Counter([REWARD, *(metric for _, metric in named)])
    in_reward = Counter(metric for scorer, metric in named if scorer in reward_models)
    columns = {}
    for scorer, label in labels.items():
        rows = [scores[scorer].get((*candidate.key, candidate.sha256), {}) for candidate in candidates]
        for metric in metrics[scorer]:
            own = label in reward_models and in_reward[metric] == 1 and metric != REWARD
            alone = counts[metric] == 1 or own
            name = metric if alone and label == scorer[0] else f"{label}.{metric}"
            columns[name] = np.array([row.get(metric, np.nan) for row in rows])
    return columns
