"""Two results files, row by row: which scorer agrees better with people, and whether that may be chance.

A line of `comparison.csv` is one task of one data set: the metric of the first and the second scorer on the rows that
both predicted, their difference with a 95 % interval over prompts (both resampled together), and for preferences how
often only the first and only the second is right, with McNemar's exact test: two-sided, a binomial test of these two.
Pairs in which people or a scorer see a tie do not count for it. It takes pairs as independent, which those of one
prompt are not: where prompts have many pairs, trust the interval.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from music.errors import InputError
from music.intervals import Array, estimate_from, estimate_mean, resample_weights
from reward.benchmark.extra import identity_of, judged_pairs, numbers_of, prompt_of, vote_of
from reward.benchmark.metrics import PREFERENCE_TASKS, RATING_TASKS, Line, correlations, tested
from reward.benchmark.result_rows import PREFERRED, RATED, Row, number_of, rating_of
from reward.benchmark.weighted_correlations import correlations_of_resamples

COMPARISON = ("dataset", "task", "metric", "n", "first", "second", "difference", "low", "high", "only_first",
              "only_second", "mcnemar_p")  # fmt: skip


def compare(first: Sequence[Row], second: Sequence[Row]) -> list[Line]:
    """Return one line for each task that both predicted.

    Raises
    ------
    InputError
        If the files have no row in common, or people judged a row otherwise in one of them.
    """
    ones, others = tested(first), tested(second)
    lines: list[Line] = []
    for dataset in ones:
        rows = _matched(ones[dataset], others[dataset])
        for task in RATING_TASKS.get(dataset, ()):
            lines += _ratings(rows, dataset, task)
        for task in PREFERENCE_TASKS.get(dataset, ()):
            lines += _pairs(rows, dataset, task)
    if not lines:
        raise InputError("the two results files have no predicted row in common")
    return lines


def _matched(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return the rows of the same audio and prompt."""
    found = _by_identity(second)
    rows = [(row, found[name]) for name, row in _by_identity(first).items() if name in found]
    for one, other in rows:
        theirs = _judgement(other)
        for field, judged in _judgement(one).items():
            if judged != theirs[field]:
                raise InputError(
                    f"people judged {one.get('audio-path')!r} otherwise in the other results file: {field} is "
                    f"{judged!r} and {theirs[field]!r}; score the same rows with both"
                )
    return rows


def _judgement(row: Row) -> dict[str, float | str | None]:
    """Return what people said of a row by field; a preference as `vote_of` has it."""
    ratings = {field: number_of(row, field) for field in RATED.values()}
    return ratings | {field: vote_of(row, task) for task, field in PREFERRED.items()}


def _by_identity(rows: Sequence[Row]) -> Mapping[tuple[str, ...], Row]:
    """Return rows by what was judged; those that several people judged are numbered in the order of what they said."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(identity_of(row), []).append(row)
    return {
        (*identity, str(place)): row
        for identity, several in found.items()
        for place, row in enumerate(sorted(several, key=lambda row: str(_judgement(row))))
    }


def _ratings(rows: Sequence[tuple[Row, Row]], dataset: str, task: str) -> list[Line]:
    both = [
        (one[0], one[1], other[1], prompt_of(row))
        for row, pair in rows
        if (one := rating_of(row, task)) is not None and (other := rating_of(pair, task)) is not None
    ]
    if not both:
        return []
    values, prompts = np.array([numbers for *numbers, _ in both]), [prompt for *_, prompt in both]
    weights = resample_weights(prompts)
    first, second = (_spearman(values[:, 0], values[:, side]) for side in (1, 2))
    with_first, with_second = (
        correlations_of_resamples(values[:, [0, side]], weights)["SRCC"] for side in (1, 2)
    )
    found = estimate_from(first - second, with_first - with_second, len(values), len(set(prompts)))
    both_known = {
        name: None if np.isnan(one) else one for name, one in (("first", first), ("second", second))
    }
    facts: Line = {"dataset": dataset, "task": task, "metric": "SRCC", "n": len(both)}
    return [facts | both_known | numbers_of(found, ("difference", "low", "high"))]


def _spearman(gold: Array, predicted: Array) -> float:
    found = correlations(list(zip(gold, predicted, strict=True)), ("SRCC",))["SRCC"]
    return np.nan if found is None else found


def _pairs(rows: Sequence[tuple[Row, Row]], dataset: str, task: str) -> list[Line]:
    from scipy.stats import binomtest

    both = [
        (one[0], other[0])
        for row, pair in rows
        if (one := judged_pairs([row], task)) and (other := judged_pairs([pair], task))
    ]
    if not both:
        return []
    first, second = ([one[side].agreement for one in both] for side in (0, 1))
    found = estimate_mean(
        [a - b for a, b in zip(first, second, strict=True)], [one.prompt for one, _ in both]
    )
    only_first = sum(pair == (1, 0) for pair in zip(first, second, strict=True))
    only_second = sum(pair == (0, 1) for pair in zip(first, second, strict=True))
    differing = only_first + only_second
    return [
        {
            "dataset": dataset,
            "task": task,
            "metric": "ACC",
            "n": len(both),
            "first": sum(first) / len(both),
            "second": sum(second) / len(both),
            **numbers_of(found, ("difference", "low", "high")),
            "only_first": only_first,
            "only_second": only_second,
            "mcnemar_p": float(binomtest(only_first, differing).pvalue) if differing else 1.0,
        }
    ]
