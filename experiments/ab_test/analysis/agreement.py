"""How far raters agree: with each other, with themselves when they are sure, and with a scorer."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.ab_test.analysis.preferences import prompt_of
from experiments.ab_test.analysis.votes import PREFERENCES, Vote, counted
from experiments.ab_test.study import AUDIO, BLINDED, HEADS, Key, Study, Trial
from music.intervals import Array, Estimate, estimate_each, estimate_mean
from reward import Scorer, ScoreRequest
from reward.protocol import scores_of

STRATA = {"below 3": (1, 2), "3": (3,), "above 3": (4, 5)}  # confidence, as the paper groups it
_GROUPS = {"all": (1, 2, 3, 4, 5), **STRATA}


@dataclass(frozen=True)
class Agreement:
    """How far raters agree with each other on one question.

    Attributes
    ----------
    trials
        Number of trials with two votes or more.
    rate
        Share of pairs of votes on the same trial that are the same, ties being an answer of their own.
    alpha
        Krippendorff's alpha (nominal) over the same trials. Both intervals resample prompts.
    """

    trials: int
    rate: Estimate
    alpha: Estimate


@dataclass(frozen=True)
class Stratum:
    """Votes of about the same confidence.

    Attributes
    ----------
    name
        below 3, 3, or above 3.
    votes, ties
        Number of votes, and how many of them are ties.
    agreement
        Mean share of the other votes on a trial that are the same; NaN where there are no others.
    """

    name: str
    votes: int
    ties: int
    agreement: Estimate


@dataclass(frozen=True)
class ScorerAgreement:
    """How often the clip that a rater preferred has the higher value of a metric; ties are left out, equals count half.

    Attributes
    ----------
    scorer, metric, head
        Scorer, its metric, and the question.
    confidence
        all, or the name of a stratum.
    accuracy
        Accuracy with an interval over prompts.
    """

    scorer: str
    metric: str
    head: str
    confidence: str
    accuracy: Estimate


def by_trial(votes: Sequence[Vote]) -> dict[str, list[Vote]]:
    """Return the votes on each trial."""
    found: dict[str, list[Vote]] = {}
    for vote in votes:
        found.setdefault(vote.trial, []).append(vote)
    return found


def agreement(votes: Sequence[Vote], head: str, seed: int) -> Agreement | None:
    """Return how far raters agree on a question; None if no trial has two votes."""
    several = [group for group in by_trial(votes).values() if len(group) > 1]
    if not several:
        return None
    same, prompts = [], []
    for group in several:
        for one, other in itertools.combinations(group, 2):
            same.append(float(one.preferred[head] == other.preferred[head]))
            prompts.append(one.prompt)
    counts = [Counter(vote.preferred[head] for vote in group) for group in several]
    table = np.array([[count[label] for label in PREFERENCES] for count in counts], float)
    units = [group[0].prompt for group in several]
    (alpha,) = estimate_each(lambda drawn: [_alpha(drawn)], table, units, seed)
    return Agreement(len(several), estimate_mean(same, prompts, seed), alpha)


def _alpha(table: Array) -> float:
    """Return Krippendorff's alpha of units x labels; NaN if all votes are the same, where it is not defined."""
    import krippendorff

    if np.count_nonzero(table.sum(axis=0)) < 2:
        return math.nan
    return float(krippendorff.alpha(value_counts=table.astype(int), level_of_measurement="nominal"))


def strata(votes: Sequence[Vote], head: str, seed: int) -> list[Stratum]:
    """Return how votes of each confidence agree with the others on their trials."""
    groups = by_trial(votes)
    found = []
    for name, numbers in STRATA.items():
        members = [vote for vote in votes if vote.confidence[head] in numbers]
        shares, prompts = [], []
        for vote in members:
            others = [one for one in groups[vote.trial] if one is not vote]
            if others:
                same = sum(one.preferred[head] == vote.preferred[head] for one in others)
                shares.append(same / len(others))
                prompts.append(vote.prompt)
        ties = sum(vote.preferred[head] == "tie" for vote in members)
        mean = estimate_mean(shares, prompts, seed) if shares else Estimate(math.nan)
        found.append(Stratum(name, len(members), ties, mean))
    return found


def clip_scores(
    scorer: Scorer, trials: Iterable[Trial], folder: Path, study: Study, key: Key
) -> dict[str, Mapping[str, float]]:
    """Return what a scorer says of the clips of trials, as raters heard them, by file name."""
    prompts = {clip: trial.prompt for trial in trials for clip in (trial.first, trial.second)}
    audio = folder / BLINDED / AUDIO
    requests = [
        ScoreRequest(audio / clip, prompt_of(folder, study, key, name)) for clip, name in prompts.items()
    ]
    return dict(zip(prompts, scores_of(scorer, requests), strict=True))


def scorer_agreement(
    scorers: Sequence[Scorer], votes: Sequence[Vote], folder: Path, study: Study, key: Key, seed: int
) -> list[ScorerAgreement]:
    """Return how often each metric of each scorer, on the audio that raters heard, sides with them.

    `votes` are those of raters who are believed; repeats and trials that check raters are left out.
    """
    votes = counted(votes)
    trials = {vote.trial: study.trials[vote.trial] for vote in votes}
    found = []
    for scorer in scorers:
        scores = clip_scores(scorer, trials.values(), folder, study, key)
        for metric, head, (name, numbers) in itertools.product(scorer.metrics, HEADS, _GROUPS.items()):
            chosen = [v for v in votes if v.preferred[head] != "tie" and v.confidence[head] in numbers]
            if chosen:
                right = [_right(scores, metric, trials[vote.trial], vote.preferred[head]) for vote in chosen]
                accuracy = estimate_mean(right, [vote.prompt for vote in chosen], seed)
                found.append(ScorerAgreement(scorer.name, metric, head, name, accuracy))
    return found


def _right(scores: Mapping[str, Mapping[str, float]], metric: str, trial: Trial, preferred: str) -> float:
    first, second = scores[trial.first][metric], scores[trial.second][metric]
    return 0.5 if first == second else float((first > second) == (preferred == "first"))
