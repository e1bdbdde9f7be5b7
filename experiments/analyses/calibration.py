"""The reward of one generator's clips, corrected by what people said of a few of its pairs; see `anchors`."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.analyses.logistic import fit_logistic
from music.intervals import Array
from reward.benchmark.extra import prompt_of
from reward.benchmark.metrics import PREFERENCE_TASKS, tested
from reward.benchmark.result_rows import Row, gap_of, preference_of

METRICS = ("ACC", "cross_entropy")


@dataclass(frozen=True)
class Pairs:
    """Decided pairs of one generator with others, n in all.

    Attributes
    ----------
    gaps
        Scores of a minus scores of b, in units of `scale`, `[n]`.
    scale
        Standard deviation of all gaps of the task.
    sides
        Sides of the generator, `[n]`: 1 where a is its clip, -1 where b is.
    votes
        Votes, `[n]`: 1 for a, 0 for b.
    prompts
        Prompt of each pair.
    """

    gaps: Array
    scale: float
    sides: Array
    votes: Array
    prompts: Sequence[Hashable]

    def asked_at_least(self, anchors: int) -> int:
        """Return how many pairs any draw leaves: prompts with anchors are not asked about."""
        return len(self.prompts) - (anchors - 1 + max(Counter(self.prompts).values()))


def known_pairs(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Pairs]]:
    """Return by data set and task, and by generator, its decided and predicted pairs with other named generators."""
    return {
        (dataset, task): _by_generator(tested(rows)[dataset], task)
        for dataset, tasks in PREFERENCE_TASKS.items()
        for task in tasks
    }


def _by_generator(rows: Sequence[Row], task: str) -> dict[str, Pairs]:
    found: list[tuple[str, str, float, float, Hashable]] = []
    for row in rows:
        a, b = (str(row.get(name) or "") for name in ("model_a", "model_b"))
        vote, gap = preference_of(row, task), gap_of(row, ("musicality" if task == "preference" else task,))
        if vote in ("a", "b") and gap is not None and a and b and a != b:
            found.append((a, b, gap, float(vote == "a"), prompt_of(row)))
    scale = float(np.std([gap for _, _, gap, _, _ in found])) if found else 0.0
    scale = scale or 1.0  # equal scores tell nothing in any unit
    pairs = {}
    for name in sorted({name for a, b, *_ in found for name in (a, b)}):
        own = [one for one in found if name in one[:2]]
        sides = np.array([1.0 if a == name else -1.0 for a, *_ in own])
        gaps, votes = (np.array([one[place] for one in own]) for place in (2, 3))
        pairs[name] = Pairs(gaps / scale, scale, sides, votes, [prompt for *_, prompt in own])
    return pairs


def calibrate(pairs: Pairs, anchors: int, draws: int, seed: int) -> tuple[Array, Array]:
    """Return how pairs are ordered before and after the calibration by each draw of anchors; and the fits.

    The former is `[draws, n, METRICS, before and after]`, NaN for pairs of prompts with anchors; the fits are
    temperature and offset, `[draws, 2]`.
    """
    found = np.full((draws, len(pairs.votes), 2, 2), np.nan)
    fits = np.empty((draws, 2))
    for draw in range(draws):
        drawn = draw_anchors(pairs.prompts, anchors, np.random.default_rng([seed, draw]))
        taught, left = drawn == 1, drawn == 0
        fits[draw] = fit_offset(pairs.gaps[taught], pairs.sides[taught], pairs.votes[taught])
        gaps, votes = pairs.gaps[left], pairs.votes[left]
        found[draw, left, :, 0] = _scores(pairs.scale * gaps, votes)
        found[draw, left, :, 1] = _scores(fits[draw, 0] * gaps + fits[draw, 1] * pairs.sides[left], votes)
    return found, fits


def fit_offset(gaps: Array, sides: Array, votes: Array) -> Array:
    """Return temperature and offset `[2]` of anchors: gaps in standard deviations, sides and votes `[n]` each."""
    features = np.stack([gaps, sides], axis=1)
    return fit_logistic(features, votes, np.array([1.0, 0.0]), np.ones(2))


def draw_anchors(
    prompts: Sequence[Hashable], anchors: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return `[n]` 1 for anchors, 0 for pairs of prompts that have none, -1 for the rest of an anchor's prompt."""
    rows: dict[Hashable, list[int]] = {}
    for row, prompt in enumerate(prompts):
        rows.setdefault(prompt, []).append(row)
    groups, found, left = list(rows.values()), np.zeros(len(prompts), int), anchors
    for place in generator.permutation(len(groups)):
        if left > 0:
            found[groups[place]] = -1
            found[groups[place][:left]] = 1
            left -= len(groups[place][:left])
    return found


def _scores(logits: Array, votes: Array) -> Array:
    """Return `[n, 2]`: whether each logit orders its pair as people did (equal ones half), and its cross-entropy."""
    signed = (2 * votes - 1) * logits
    return np.stack([(np.sign(signed) + 1) / 2, np.logaddexp(0, -signed)], axis=1)
