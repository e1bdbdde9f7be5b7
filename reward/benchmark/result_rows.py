"""Rows of CMI-RewardBench with what a scorer predicted, as the authors' files have them.

A row is published as it stands (`source`, `split`, `audio-path`, `preference-musicality` ...); predictions are added as
`predicted_musicality` and `predicted_text-music alignment` (each also with `_b` for the second clip of a pair), and as
`predicted_preference`, `predicted_preference-musicality` and `predicted_preference-alignment`. A scorer that tells the
chances of ratings adds `predicted_log_odds-musicality` and `predicted_log_odds-alignment` of pairs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.jsonl import dump_line, read_jsonl
from reward.data.rows import PUBLISHED_LABELS

Row = Mapping[str, Any]

PAM, MUSIC_EVAL, MUSIC_ARENA, CMI_PREF = "PAM", "MusicEval", "MusicArena", "CMI-Pref"
#: what `source` contains -> the data set that it belongs to
_SOURCES = {
    "PAM": PAM,
    "MusicEval": MUSIC_EVAL,
    "SongEval": MUSIC_EVAL,
    "Music Arena": MUSIC_ARENA,
    "cmi-arena-annotation": CMI_PREF,
}
#: task -> the field of a mean opinion; "predicted_" before it is the prediction
RATED = {"musicality": "musicality", "alignment": "text-music alignment"}
#: task -> the field of a preference, likewise
PREFERRED = {
    "preference": "preference",
    "musicality": "preference-musicality",
    "alignment": "preference-alignment",
}
LOG_ODDS = "predicted_log_odds-{}"  # of a task of `RATED`
TIE = "both"
_LABELS = {name: label if label in ("a", "b", "") else TIE for name, label in PUBLISHED_LABELS.items()}


def dataset_of(row: Row) -> str:
    """Return the data set that a row belongs to.

    Raises
    ------
    InputError
        If it is none of CMI-RewardBench.
    """
    source = str(row.get("source", ""))
    for part, dataset in _SOURCES.items():
        if part in source:
            return dataset
    raise InputError(f"source {source!r} is none of CMI-RewardBench: {', '.join(_SOURCES)}")


def checked(rows: Iterable[tuple[str, Row]]) -> list[Row]:
    """Return the rows of the split `test`, each given with its place, after a look at every field that the tables read.

    Raises
    ------
    InputError
        If a field makes no sense; the message names the place.
    """
    found = []
    for place, row in rows:
        if row.get("split") != "test":
            continue
        try:
            dump_line(row)  # a time, say, is no JSON
            dataset_of(row)
            for task in RATED:
                rating_of(row, task), number_of(row, LOG_ODDS.format(task))
            for task in PREFERRED:
                preference_of(row, task), prediction_of(row, task), confidence_of(row, task)
        except (TypeError, ValueError) as error:
            raise InputError(f"{place}: {error}") from error
        found.append(row)
    return found


def read_results(path: Path) -> list[Row]:
    """Return the `checked` rows of a results file."""
    return checked((f"{path} line {line}", row) for line, row in read_jsonl(path))


def rating_of(row: Row, task: str) -> tuple[float, float] | None:
    """Return mean opinion and prediction of a task of `RATED`; None if either is missing."""
    gold, predicted = (number_of(row, f"{before}{RATED[task]}") for before in ("", "predicted_"))
    return None if gold is None or predicted is None else (gold, predicted)


def preference_of(row: Row, task: str) -> str:
    """Return what people preferred in a task of `PREFERRED`: a, b, both (a tie of any kind) or empty."""
    return _label(row, PREFERRED[task])


def prediction_of(row: Row, task: str) -> str:
    """Return what is predicted, likewise.

    It is the label that the row has, as in the authors' evaluator. Where a battle has none, the more musical clip is
    preferred, as by the authors since the third version of their paper.
    """
    label = _label(row, f"predicted_{PREFERRED[task]}")
    if label or task != "preference":
        return label
    gap = gap_of(row, ("musicality",))
    return "" if gap is None else preferred(gap)


def gap_of(row: Row, metrics: Sequence[str]) -> float | None:
    """Return the mean over metrics of `RATED` of the log-odds that a is preferred; None if one is missing.

    They are those that the scorer's chances of ratings give, or else the predicted score of a minus that of b, as
    Bradley-Terry models mean it.
    """
    gaps = []
    for metric in metrics:
        if (told := number_of(row, LOG_ODDS.format(metric))) is not None:
            gaps.append(told)
            continue
        a, b = (number_of(row, f"predicted_{RATED[metric]}{side}") for side in ("", "_b"))
        if a is None or b is None:
            return None
        gaps.append(a - b)
    return sum(gaps) / len(gaps)


def preferred(gap: float) -> str:
    """Return the label of log-odds, or of a difference, score of a minus score of b; 0 is a tie."""
    return "a" if gap > 0 else "b" if gap < 0 else TIE


def agreement(gold: str, predicted: str) -> float | None:
    """Return 1 if two labels are the same, else 0; 0.5 if one of them is a tie. None if either is empty."""
    if not gold or not predicted:
        return None
    if gold == predicted:
        return 1.0
    return 0.5 if TIE in (gold, predicted) else 0.0


def confidence_of(row: Row, task: str) -> float | None:
    """Return how sure the listener was, from 1 to 5; None if unknown."""
    return number_of(row, f"confidence_{PREFERRED[task]}")


def modality_of(row: Row) -> str:
    """Return what the prompt holds: text, text+lyrics, text+ref or text+lyrics+ref."""
    if row.get("modality"):
        return str(row["modality"])
    return "text" + "+lyrics" * has_lyrics(row) + "+ref" * has_reference(row)


def has_lyrics(row: Row) -> bool:
    """Return whether there are lyrics."""
    return bool(str(row.get("lyrics") or "").strip())


def has_reference(row: Row) -> bool:
    """Return whether there is a reference clip."""
    return bool(str(row.get("ref-audio-path") or "").strip())


def month_of(row: Row) -> str:
    """Return the month of a battle of Music Arena, as the folder of its audio is called; "unknown" without one."""
    for field in ("audio-path", "audio2"):
        parts = Path(str(row.get(field) or "")).parts
        if "MusicArena_data" in parts and (at := parts.index("MusicArena_data") + 2) < len(parts):
            return parts[at]
    return "unknown"


def number_of(row: Row, name: str) -> float | None:
    """Return a field that holds a number, perhaps as text; None if it is missing or empty.

    Raises
    ------
    InputError
        If it holds something else.
    """
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a number, got {value!r}") from error
    if not math.isfinite(number):
        raise InputError(f"{name} must be finite, got {value!r}")
    return number


def _label(row: Row, name: str) -> str:
    value = str(row.get(name) or "").strip().lower()
    if value not in _LABELS:
        raise InputError(f"{name} must be one of {', '.join(filter(None, _LABELS))} or empty, got {value!r}")
    return _LABELS[value]
