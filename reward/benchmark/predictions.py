"""Predictions of any scorer for rows of CMI-RewardBench.

Each distinct pair of audio and prompt is scored once, by `reward.score_rows`: killed runs continue, several processes
share the work, and audio that cannot be scored is an error of its own rows. Then every row gets the scores of its
clips, what they prefer, and how long they are (`seconds`, `seconds_b`).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from music.clips import read_header
from music.errors import InputError
from music.hashing import canonical_json, sha256_text
from reward.benchmark.result_rows import PREFERRED, RATED, Row, preferred

#: field of a clip -> what its predictions end with
SIDES = {"audio-path": "", "audio2": "_b"}
_NAMES = {"a": "model_a", "b": "model_b", "both": "both"}


def requests_of(rows: Iterable[Row], root: Path) -> dict[str, dict[str, str]]:
    """Return what is to be scored, by id, as `reward.score_rows` reads it.

    Parameters
    ----------
    rows
        Of the benchmark.
    root
        Folder that their paths are relative to.
    """
    requests = {}
    for row in rows:
        for side in SIDES:
            if request := _request(row, side, root):
                requests[request["id"]] = request
    return requests


def _request(row: Row, side: str, root: Path) -> dict[str, str] | None:
    if not row.get(side):
        return None
    prompt = {"text": str(row.get("prompt") or ""), "lyrics": str(row.get("lyrics") or "")}
    if row.get("ref-audio-path"):
        prompt["reference"] = str(root.absolute() / str(row["ref-audio-path"]))
    asked = {"audio": str(root.absolute() / str(row[side])), **prompt}
    return {"id": sha256_text(canonical_json(asked))[:24], **asked}


def with_predictions(
    row: Row, root: Path, scored: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, str]
) -> dict[str, Any]:
    """Return a row with its predictions, or with the `error` that keeps it from having them.

    Parameters
    ----------
    row
        Of the benchmark.
    root
        Folder that its paths are relative to.
    scored
        Results of `reward.score_rows` by id.
    metrics
        Task of `RATED` -> the scorer's metric that answers it.
    """
    found: dict[str, Any] = {}
    for side, ending in SIDES.items():
        request = _request(row, side, root)
        if request is None:
            continue
        result = scored[request["id"]]
        if "error" in result:
            return {**row, "error": f"{row[side]}: {result['error']}"}
        for task, metric in metrics.items():
            found[f"predicted_{RATED[task]}{ending}"] = result[metric]
        header = read_header(Path(request["audio"]))
        found[f"seconds{ending}"] = header.samples / header.sample_rate
    if row.get("audio2"):
        for task in metrics:
            name = f"predicted_{RATED[task]}"
            found[f"predicted_{PREFERRED[task]}"] = _NAMES[preferred(found[name] - found[f"{name}_b"])]
        if "musicality" in metrics:
            found[f"predicted_{PREFERRED['preference']}"] = found[f"predicted_{PREFERRED['musicality']}"]
    return {**row, **found}


def answers(scorer_metrics: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return which metric of a scorer answers which task; tasks that none answers are left out.

    Parameters
    ----------
    scorer_metrics
        What it measures.
    wanted
        Task -> metric; an empty one is the metric of the task's own name, if the scorer has it.

    Raises
    ------
    InputError
        If it does not have a metric that was asked for, or answers nothing.
    """
    known = ", ".join(scorer_metrics)
    found = {}
    for task, metric in wanted.items():
        if metric and metric not in scorer_metrics:
            raise InputError(f"--{task} {metric}: the scorer measures {known}")
        if (metric or task) in scorer_metrics:
            found[task] = metric or task
    if not found:
        raise InputError(
            f"the scorer measures {known}: say by --musicality or --alignment which of them answers what"
        )
    return found
