"""The authors' tables: correlation with ratings, accuracy of preferences, in whole and by group.

`summary` and `detail` have the rows, columns and names of the `metrics_summary.csv` and `metrics_detail.csv` that the
authors' evaluator writes, so that results can be compared line by line: a group whose rows have no prediction has a
line too, with n = 0. Rows of the split `test` count.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from music.intervals import Array
from reward.benchmark.result_rows import (
    CMI_PREF,
    MUSIC_ARENA,
    MUSIC_EVAL,
    PAM,
    Row,
    agreement,
    confidence_of,
    dataset_of,
    has_lyrics,
    has_reference,
    modality_of,
    month_of,
    prediction_of,
    preference_of,
    rating_of,
)

#: a row of a table by column; what is None has no number
Line = dict[str, str | int | float | None]

SUMMARY = ("dataset", "task", "n", "SRCC", "LCC", "K-Tau", "ACC")
DETAIL = ("dataset", "task", "group_key", "group_value", "n", "ACC", "ref_category")
#: data set -> what is asked of it
RATING_TASKS = {PAM: ("musicality", "alignment"), MUSIC_EVAL: ("musicality",)}
PREFERENCE_TASKS = {MUSIC_ARENA: ("preference",), CMI_PREF: ("alignment", "musicality")}
CONFIDENCES: dict[str, Callable[[float], bool]] = {
    "<3": lambda sure: sure < 3,
    "=3": lambda sure: sure == 3,
    ">3": lambda sure: sure > 3,
}


def _pearson(gold: Array, predicted: Array) -> float:
    return float(np.corrcoef(gold, predicted)[0, 1])


def _spearman(gold: Array, predicted: Array) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(gold), rankdata(predicted))


def _kendall(gold: Array, predicted: Array) -> float:
    from scipy.stats import kendalltau

    # the method is that of the p-value, which is not used: the exact one is slow, the other fails for two values
    method = "asymptotic" if len(gold) > 2 else "exact"
    return float(kendalltau(gold, predicted, method=method).statistic)


_CORRELATIONS = {"SRCC": _spearman, "LCC": _pearson, "K-Tau": _kendall}


def tested(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows of the split `test` by data set."""
    found: dict[str, list[Row]] = {name: [] for name in (*RATING_TASKS, *PREFERENCE_TASKS)}
    for row in rows:
        if row.get("split") == "test":
            found[dataset_of(row)].append(row)
    return found


def summary(rows: Sequence[Row]) -> list[Line]:
    """Return one line for each task of each data set that has rows.

    Ratings have correlations, preferences an accuracy; None where there are no predictions.
    """
    of, lines = tested(rows), []
    for dataset, tasks in RATING_TASKS.items():
        for task in tasks if of[dataset] else ():
            both = [pair for row in of[dataset] if (pair := rating_of(row, task)) is not None]
            lines.append({"dataset": dataset, "task": task, "n": len(both), **correlations(both)})
    for dataset, tasks in PREFERENCE_TASKS.items():
        for task in tasks if of[dataset] else ():
            lines.append(_accuracy(of[dataset], {"dataset": dataset, "task": task}))
    return lines


def correlations(
    pairs: Sequence[tuple[float, float]], names: Sequence[str] = ("SRCC", "LCC", "K-Tau")
) -> dict[str, float | None]:
    """Return Spearman's, Pearson's and Kendall's (b) correlation of pairs of numbers; None where a side is constant."""
    gold, predicted = np.array(pairs, float).reshape(-1, 2).T
    if len(set(gold)) < 2 or len(set(predicted)) < 2:
        return dict.fromkeys(names)
    return {name: float(_CORRELATIONS[name](gold, predicted)) for name in names}


def detail(rows: Sequence[Row]) -> list[Line]:
    """Return one line for each group of pairs: battles by month, CMI-Pref by what was asked and how surely."""
    of = tested(rows)
    lines = _groups(of[MUSIC_ARENA], MUSIC_ARENA, ("preference",), "month", month_of)
    pairs, tasks = of[CMI_PREF], PREFERENCE_TASKS[CMI_PREF]
    lines += _groups(pairs, CMI_PREF, tasks, "modality", modality_of)
    for task in tasks:
        by_kind = {
            "no_ref": [row for row in pairs if not has_reference(row)],
            "ref": [row for row in pairs if has_reference(row)],
        }
        by_reference = [(name, kind) for name in CONFIDENCES for kind in by_kind]
        for name, kind in [*by_reference, *((name, "all") for name in CONFIDENCES)]:
            sure = [row for row in by_kind.get(kind, pairs) if _is_as_sure(row, task, name)]
            facts = {"dataset": CMI_PREF, "task": task, "group_key": "confidence", "group_value": name}
            if sure:
                lines.append(_accuracy(sure, facts | {"ref_category": kind}))
    for key, names, belongs in (
        ("ref_subset", ("no_ref", "ref"), has_reference),
        ("modality_type", ("instru", "vocal"), has_lyrics),
    ):
        lines += _groups(pairs, CMI_PREF, tasks, key, lambda row: names[belongs(row)], names)  # noqa: B023
    return lines


def _groups(
    rows: Sequence[Row],
    dataset: str,
    tasks: Sequence[str],
    key: str,
    value_of: Callable[[Row], str],
    always: Sequence[str] = (),
) -> list[Line]:
    """Return a line for each task of each group; those of the values `always` have one even without rows."""
    lines = []
    for value in sorted({*always, *map(value_of, rows)} if rows else ()):
        group = [row for row in rows if value_of(row) == value]
        for task in tasks:
            facts = {"dataset": dataset, "task": task, "group_key": key, "group_value": value}
            lines.append(_accuracy(group, facts))
    return lines


def agreements(rows: Iterable[Row], task: str) -> list[float]:
    """Return how far each row's prediction agrees with its preference, 0 to 1; rows that lack one are left out."""
    both = ((preference_of(row, task), prediction_of(row, task)) for row in rows)
    return [value for gold, predicted in both if (value := agreement(gold, predicted)) is not None]


def _accuracy(rows: Sequence[Row], facts: Mapping[str, str]) -> Line:
    """Return the line of some rows; None is the accuracy of none that are both judged and predicted."""
    agreed = agreements(rows, facts["task"])
    return {**facts, "n": len(agreed), "ACC": math.fsum(agreed) / len(agreed) if agreed else None}


def _is_as_sure(row: Row, task: str, name: str) -> bool:
    sure = confidence_of(row, task)
    return sure is not None and CONFIDENCES[name](sure)
