"""What the authors' tables leave out: intervals, ties, calibration, and more groups.

A line of `metrics_extra.csv` is one metric of one group of rows:

    ACC             the authors' accuracy: a tie on one side counts half, two ties agree
    ACC_decided     the share of pairs that people did decide in which the higher score is theirs; equal ones count half
    cross_entropy   -log of the probability that the scores give to what people preferred, nats
    ECE             expected calibration error of these probabilities
                    (both take the difference of two scores for a logit, as Bradley-Terry models mean it)
    people          how far two people who judged the same pair agree (a tie on one side counts half), over the pairs
                    that several judged: what a scorer reaches that is as good as one more person
    SRCC, LCC, K-Tau
                    correlation with mean opinions

with a 95 % interval over prompts (`intervals`; ECE, which resampling biases, has none), the number of rows and prompts
(a row that does not say what it was made for counts as a prompt of its own), and of pairs how many are ties to people
and to the scorer. Groups by generator need `model_a` and `model_b` in the rows, those by length `seconds`.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from music.intervals import Estimate, estimate_from, estimate_mean, resample_weights, wilson_interval
from reward.benchmark.metrics import CONFIDENCES, PREFERENCE_TASKS, RATING_TASKS, Line, correlations, tested
from reward.benchmark.result_rows import (
    CMI_PREF,
    MUSIC_ARENA,
    RATED,
    TIE,
    Row,
    agreement,
    confidence_of,
    gap_of,
    has_lyrics,
    has_reference,
    modality_of,
    month_of,
    number_of,
    prediction_of,
    preference_of,
    preferred,
    rating_of,
)
from reward.benchmark.weighted_correlations import correlations_of_resamples
from reward.bradley_terry import calibration_error_of, losses_of, reliability_of, targets_of

EXTRA = ("dataset", "task", "group_key", "group_value", "metric", "n", "prompts", "value", "low", "high", "ties",
         "predicted_ties")  # fmt: skip
_CLIPS = ("audio-path", "audio2")
DURATIONS = (0.0, 10.0, 30.0, 60.0, 120.0, 500.0)  # s

Groups = Mapping[str, Callable[[Row], Sequence[str]]]


def extra(rows: Sequence[Row]) -> list[Line]:
    """Return the lines of all groups of the rows of the split `test`."""
    lines: list[Line] = []
    for dataset, found in tested(rows).items():
        for task in (*RATING_TASKS.get(dataset, ()), *PREFERENCE_TASKS.get(dataset, ())):
            measure = _ratings if dataset in RATING_TASKS else _pairs
            for key, value, group in _groups(found, _keys(dataset, task)):
                facts: Line = {"dataset": dataset, "task": task, "group_key": key, "group_value": value}
                lines += [facts | line for line in measure(group, task)]
        if dataset == MUSIC_ARENA:
            facts = {"dataset": dataset, "task": "preference", "group_key": "predicted from"}
            lines += [facts | {"group_value": "musicality and alignment"} | line for line in _combined(found)]
    return lines


def prompt_of(row: Row) -> tuple[str, ...]:
    """Return what a row was made for, by its id or else by its parts; a row without any is one of its own."""
    if row.get("prompt id"):
        return str(row.get("source")), str(row["prompt id"])
    parts = tuple(str(row.get(name) or "") for name in ("prompt", "lyrics", "ref-audio-path"))
    return (
        (str(row.get("source")), *parts)
        if any(parts)
        else (str(row.get("audio-path")), str(row.get("audio2")))
    )


def identity_of(row: Row) -> tuple[str, ...]:
    """Return what was judged; of two clips it does not matter which came first."""
    clips = sorted(str(row.get(name) or "") for name in _CLIPS)
    return (*clips, *(str(row.get(name) or "") for name in ("source", "prompt", "lyrics", "ref-audio-path")))


def vote_of(row: Row, task: str) -> str:
    """Return what people preferred, as if the two clips came in the order of their paths: a, b, both or empty."""
    vote = preference_of(row, task)
    first, second = (str(row.get(name) or "") for name in _CLIPS)
    return {"a": "b", "b": "a"}.get(vote, vote) if second < first else vote


def _keys(dataset: str, task: str) -> Groups:
    """Return by what the rows of a data set are grouped."""
    keys: dict[str, Callable[[Row], Sequence[str]]] = {"all": lambda row: ("all",)}
    if dataset == MUSIC_ARENA:
        keys["month"] = lambda row: (month_of(row),)
    if dataset == CMI_PREF:
        keys["modality"] = lambda row: (modality_of(row),)
        keys["confidence"] = lambda row: _confidence(row, task)
        keys["ref_subset"] = lambda row: ("ref" if has_reference(row) else "no_ref",)
    if dataset in PREFERENCE_TASKS:
        keys["modality_type"] = lambda row: ("vocal" if has_lyrics(row) else "instru",)
    return keys | {"duration": duration_of, "generator": _generators}


def _confidence(row: Row, task: str) -> Sequence[str]:
    sure = confidence_of(row, task)
    return () if sure is None else [name for name, holds in CONFIDENCES.items() if holds(sure)]


def duration_of(row: Row) -> Sequence[str]:
    """Return the bin of the mean length of a row's audio; none if that is not known or out of range."""
    known = [seconds for name in ("seconds", "seconds_b") if (seconds := number_of(row, name)) is not None]
    if known:
        length, last = math.fsum(known) / len(known), DURATIONS[-1]
        for low, high in itertools.pairwise(DURATIONS):
            if low <= length < high or length == high == last:
                return (f"[{low:g},{high:g}{']' if high == last else ')'}",)
    return ()


def start_of(duration: str) -> float:
    """Return where a bin of `duration_of` begins, s."""
    return float(duration[1:].partition(",")[0])


def _generators(row: Row) -> Sequence[str]:
    return sorted({str(row[name]) for name in ("model_a", "model_b") if row.get(name)})


def _groups(rows: Sequence[Row], keys: Groups) -> Iterator[tuple[str, str, list[Row]]]:
    for key, values_of in keys.items():
        found: dict[str, list[Row]] = {}
        for row in rows:
            for value in values_of(row):
                found.setdefault(value, []).append(row)
        for value in sorted(found):
            yield key, value, found[value]


def _ratings(rows: Sequence[Row], task: str) -> list[Line]:
    judged = [(row, pair) for row in rows if (pair := rating_of(row, task)) is not None]
    if not judged:
        return []
    pairs, prompts = [pair for _, pair in judged], [prompt_of(row) for row, _ in judged]
    resampled = correlations_of_resamples(np.array(pairs), resample_weights(prompts))
    sizes = len(pairs), len(set(prompts))
    return [
        line_of(name, estimate_from(math.nan if value is None else value, resampled[name], *sizes))
        for name, value in correlations(pairs).items()
    ]


@dataclass(frozen=True)
class Judged:
    """A pair with what people and the scorer prefer.

    Attributes
    ----------
    prompt
        What it was made for.
    gold, predicted
        a, b or both.
    gap
        Score of a minus score of b; None where only the preference is known.
    """

    prompt: tuple[str, ...]
    gold: str
    predicted: str
    gap: float | None

    @property
    def ordered(self) -> float:
        """How far the scores, or else the predicted label, agree with people, 0 to 1."""
        return cast(float, agreement(self.gold, self.predicted if self.gap is None else preferred(self.gap)))

    @property
    def agreement(self) -> float:
        """How far scorer and people agree, 0 to 1."""
        return cast(float, agreement(self.gold, self.predicted))


def judged_pairs(rows: Sequence[Row], task: str) -> list[Judged]:
    """Return the rows with a preference and a prediction."""
    metrics = ("musicality",) if task == "preference" else (task,)
    both = ((row, preference_of(row, task), prediction_of(row, task)) for row in rows)
    return [
        Judged(prompt_of(row), gold, predicted, gap_of(row, metrics))
        for row, gold, predicted in both
        if gold and predicted
    ]


def _pairs(rows: Sequence[Row], task: str) -> list[Line]:
    return _pair_lines(judged_pairs(rows, task)) + _mean_line("people", _agreement_of_people(rows, task))


def _agreement_of_people(rows: Sequence[Row], task: str) -> list[tuple[tuple[str, ...], float]]:
    """Return for each pair with several votes its prompt, and the mean agreement of any two of them."""
    votes: dict[tuple[str, ...], list[tuple[Row, str]]] = {}
    for row in rows:
        if vote := vote_of(row, task):
            votes.setdefault(identity_of(row), []).append((row, vote))
    found = []
    for judged in votes.values():
        agreed = [
            cast(float, agreement(one, other)) for (_, one), (_, other) in itertools.combinations(judged, 2)
        ]
        if agreed:
            found.append((prompt_of(judged[0][0]), math.fsum(agreed) / len(agreed)))
    return found


def _combined(rows: Sequence[Row]) -> list[Line]:
    """Return the lines of battles predicted from the mean of both scores, as in the first version of the paper."""
    known = ((row, gap_of(row, tuple(RATED))) for row in rows if preference_of(row, "preference"))
    return _pair_lines(
        [
            Judged(prompt_of(row), preference_of(row, "preference"), preferred(gap), gap)
            for row, gap in known
            if gap is not None
        ]
    )


def _pair_lines(pairs: Sequence[Judged]) -> list[Line]:
    decided = [pair for pair in pairs if pair.gold != TIE]
    scored = [(pair, pair.gap) for pair in decided if pair.gap is not None]
    lines = _mean_line("ACC", [(pair.prompt, pair.agreement) for pair in pairs])
    lines += _mean_line("ACC_decided", [(pair.prompt, pair.ordered) for pair in decided])
    targets = targets_of([pair.gold for pair, _ in scored])[0].double()
    losses = losses_of(torch.tensor([gap for _, gap in scored], dtype=torch.float64), targets).tolist()
    lines += _mean_line(
        "cross_entropy", [(pair.prompt, loss) for (pair, _), loss in zip(scored, losses, strict=True)]
    )
    error = calibration_error_of([gap for _, gap in scored], [pair.gold for pair, _ in scored])
    if error is not None:
        prompts = len({pair.prompt for pair, _ in scored})
        lines.append({"metric": "ECE", "n": len(scored), "prompts": prompts, "value": error})
    ties: Line = {
        "ties": sum(pair.gold == TIE for pair in pairs),
        "predicted_ties": sum(pair.predicted == TIE for pair in pairs),
    }
    return [line | ties for line in lines]


def reliability(rows: Sequence[Row]) -> list[Line]:
    """Return how often the scorer is right by how sure it is (`reliability_of`), for each task with pairs.

    `low` and `high` are the Wilson interval of `right`.
    """
    lines: list[Line] = []
    for dataset, tasks in PREFERENCE_TASKS.items():
        for task in tasks:
            pairs = judged_pairs(tested(rows)[dataset], task)
            known = [(pair.gap, pair.gold) for pair in pairs if pair.gap is not None]
            for one in reliability_of([gap for gap, _ in known], [label for _, label in known]):
                low, high = wilson_interval(one.right * one.pairs, one.pairs)
                lines.append({"dataset": dataset, "task": task, **vars(one), "low": low, "high": high})
    return lines


def _mean_line(name: str, values: Sequence[tuple[tuple[str, ...], float]]) -> list[Line]:
    if not values:
        return []
    prompts, numbers = zip(*values, strict=True)
    return [line_of(name, estimate_mean(numbers, prompts))]


def line_of(name: str, found: Estimate) -> Line:
    """Return an estimate of a metric as a line of a table; what is NaN is None."""
    return {"metric": name, "n": found.rows, "prompts": found.prompts, **numbers_of(found)}


def numbers_of(found: Estimate, names: Sequence[str] = ("value", "low", "high")) -> Line:
    """Return an estimate and the ends of its interval under these names; what is NaN is None."""
    numbers = zip(names, (found.value, found.low, found.high), strict=True)
    return {name: None if math.isnan(number) else number for name, number in numbers}
