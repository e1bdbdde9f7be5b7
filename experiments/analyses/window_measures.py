"""How well each window agrees with people, and how near the windows are to each other; see `windows`."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from music.intervals import Array, estimate_each
from reward.baselines.windowed import WINDOWS
from reward.benchmark.extra import duration_of, judged_pairs, line_of, numbers_of, prompt_of, start_of
from reward.benchmark.metrics import PREFERENCE_TASKS, RATING_TASKS, Line
from reward.benchmark.predictions import SIDES
from reward.benchmark.result_rows import RATED, Row, dataset_of, number_of, rating_of

ALL = "all"
WHOLE = -1  # the place of first120 in `WINDOWS`
#: places in `WINDOWS` of two that are compared
BOTH = {"first10 and first120": (0, 2), "mean10 and first120": (1, 2), "first10 and mean10": (0, 1)}
#: fields by which clips are told apart
_CLIP = ("audio-path", "prompt", "lyrics", "ref-audio-path")
Statistic = Callable[[Array], Sequence[float] | Array]
Measures = Mapping[str, tuple[Array, Statistic]]


def with_people(rows: Sequence[Sequence[Row]], seed: int) -> list[Line]:
    """Return how well each window agrees with people, of rows as each of `WINDOWS` heard them."""
    lines: list[Line] = []
    for dataset, tasks in (RATING_TASKS | PREFERENCE_TASKS).items():
        own = [both for both in rows if dataset_of(both[0]) == dataset]
        for task in tasks:
            known, measures = (_rated if dataset in RATING_TASKS else _judged)(own, task)
            for metric, (values, statistic) in measures.items():
                facts: Line = {"dataset": dataset, "task": task, "metric": metric}
                lines += [line | facts for line in _of_windows(known, values, statistic, seed)]
    return lines


def _of_windows(rows: Sequence[Row], values: Array, statistic: Statistic, seed: int) -> list[Line]:
    """Return a line for each length and window; a statistic gives one number for each window of `values [n, K]`."""
    lines: list[Line] = []
    for duration, places in by_length(rows):
        prompts = [prompt_of(rows[place]) for place in places]
        found = estimate_each(_compared(statistic), values[places], prompts, seed)
        differences = [*found[len(WINDOWS) :], None]  # the last is what the others are compared with
        for window, one, difference in zip(WINDOWS, found, differences, strict=False):
            facts: Line = {"duration": duration, "window": window}
            names = ("difference", "difference_low", "difference_high")
            lines.append(line_of("", one) | facts | (numbers_of(difference, names) if difference else {}))
    return lines


def side_by_side(rows: Sequence[Sequence[Row]], seed: int) -> list[Line]:
    """Return how near the scores of the windows are to each other, of every distinct clip and prompt."""
    lines: list[Line] = []
    names = [(windows, metric) for windows in BOTH for metric in ("LCC", "RMSE", "RMSE/SD")]
    for task, field in RATED.items():
        clips: dict[tuple[str, ...], tuple[Row, list[float | None]]] = {}
        for both, (side, ending) in itertools.product(rows, SIDES.items()):
            scores = [number_of(row, f"predicted_{field}{ending}") for row in both]
            if None not in scores:
                row = {
                    **both[0],
                    "audio-path": both[0][side],
                    "seconds": both[0][f"seconds{ending}"],
                    "seconds_b": None,
                }
                clips.setdefault(tuple(str(row.get(name) or "") for name in _CLIP), (row, scores))
        known = [row for row, _ in clips.values()]
        values = np.array([scores for _, scores in clips.values()], float)
        for duration, places in by_length(known):
            found = estimate_each(
                _beside, values[places], [prompt_of(known[place]) for place in places], seed
            )
            for (windows, metric), one in zip(names, found, strict=True):
                lines.append(line_of(metric, one) | {"task": task, "duration": duration, "windows": windows})
    return lines


def rating_map(scores: Array, ratings: Array) -> Callable[[Array], Array]:
    """Return the map 2 tanh(a s + b) + 3 that brings scores `[n]` nearest to ratings `[n]` from 1 to 5."""
    from scipy.optimize import least_squares

    centre, scale = scores.mean(), scores.std() or 1.0

    def opinion(found: Array, slope: float, offset: float) -> Array:
        return 2 * np.tanh(slope * (found - centre) / scale + offset) + 3

    fit = least_squares(lambda fit: opinion(scores, *fit) - ratings, [0.2, 0.0]).x
    return lambda found: opinion(found, *fit)


def shortest_of(duration: str) -> float:
    """Return where a bin of `duration_of` begins, s; `ALL` goes before them."""
    return -1.0 if duration == ALL else start_of(duration)


def by_length(rows: Sequence[Row]) -> list[tuple[str, list[int]]]:
    """Return the places of rows by the length of their audio, all of them first; of no rows nothing."""
    found: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for name in duration_of(row):
            found.setdefault(name, []).append(place)
    bins = [(name, found[name]) for name in sorted(found, key=shortest_of)]
    return [(ALL, list(range(len(rows)))), *bins] if rows else []


def _judged(rows: Sequence[Sequence[Row]], task: str) -> tuple[list[Row], Measures]:
    """Return the pairs that were judged and predicted, and their agreement with people in each window."""
    pairs = [[pair for row in both for pair in judged_pairs([row], task)] for both in rows]
    known = [both[0] for both, found in zip(rows, pairs, strict=True) if found]
    agreed = np.array([[pair.agreement for pair in found] for found in pairs if found])
    return known, {"ACC": (agreed, lambda values: values.mean(axis=0))}


def _rated(rows: Sequence[Sequence[Row]], task: str) -> tuple[list[Row], Measures]:
    """Return the clips with a mean opinion and predictions, and scores and ratings of each window beside it."""
    pairs = [[pair for row in both if (pair := rating_of(row, task)) is not None] for both in rows]
    known = [both[0] for both, found in zip(rows, pairs, strict=True) if found]
    if not known:
        return known, {}
    opinions = np.array([found[0][0] for found in pairs if found])[:, None]
    scores = np.array([[predicted for _, predicted in found] for found in pairs if found])
    mapped = rating_map(scores[:, WHOLE], opinions[:, 0])(scores)
    return known, {
        "LCC": (
            np.hstack([scores, opinions]),
            lambda values: [_lcc(one, values[:, -1]) for one in values[:, :-1].T],
        ),
        "RMSE": (np.hstack([mapped, opinions]), lambda values: _rmse(values[:, :-1], values[:, -1:])),
    }


def _compared(statistic: Statistic) -> Statistic:
    """Return a statistic of each window, and its differences to that of the last one, which is `WHOLE`."""

    def found(values: Array) -> Array:
        each = np.asarray(statistic(values))
        return np.concatenate([each, each[:-1] - each[-1]])

    return found


def _beside(values: Array) -> Array:
    """Return LCC, RMSE and RMSE/SD of the scores `[n, windows]` of the windows of `BOTH`."""
    spread = values[:, WHOLE].std() or np.nan
    found = []
    for one, other in BOTH.values():
        error = float(_rmse(values[:, [one]], values[:, [other]])[0])
        found += [_lcc(values[:, one], values[:, other]), error, error / spread]
    return np.array(found)


def _lcc(one: Array, other: Array) -> float:
    constant = np.ptp(one) == 0 or np.ptp(other) == 0
    return np.nan if constant else float(np.corrcoef(one, other)[0, 1])


def _rmse(found: Array, true: Array) -> Array:
    return np.sqrt(np.square(found - true).mean(axis=0))
