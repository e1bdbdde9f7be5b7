"""What became of the rows: how many the tables count, and why not the others.

A line is one task of one data set, and each of its rows of the split `test` is in one of these:

    n               judged by people and predicted: what the tables count
    unjudged        people said nothing about this task
    errors          judged, but the row has an `error` in place of a prediction
    unpredicted     judged, but without a prediction
"""

from collections import Counter
from collections.abc import Sequence

from reward.benchmark.metrics import PREFERENCE_TASKS, RATING_TASKS, Line, tested
from reward.benchmark.result_rows import RATED, Row, number_of, prediction_of, preference_of

FATES = ("n", "unjudged", "errors", "unpredicted")


def coverage(rows: Sequence[Row]) -> list[Line]:
    """Return a line for each task of each data set that has rows."""
    lines: list[Line] = []
    for dataset, found in tested(rows).items():
        for task in (*RATING_TASKS.get(dataset, ()), *PREFERENCE_TASKS.get(dataset, ())) if found else ():
            fates = Counter(_fate(row, task, dataset in RATING_TASKS) for row in found)
            counts = {fate: fates[fate] for fate in FATES}
            lines.append({"dataset": dataset, "task": task, "rows": len(found), **counts})
    return lines


def _fate(row: Row, task: str, rated: bool) -> str:
    if rated:
        judged, predicted = (
            number_of(row, f"{part}{RATED[task]}") is not None for part in ("", "predicted_")
        )
    else:
        judged, predicted = bool(preference_of(row, task)), bool(prediction_of(row, task))
    if not judged:
        return "unjudged"
    return "n" if predicted else "errors" if "error" in row else "unpredicted"
