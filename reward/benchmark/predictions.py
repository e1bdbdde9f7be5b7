"""Predictions of any scorer for rows of CMI-RewardBench.

Each distinct pair of audio and prompt is scored once, by `reward.scoring.rows`: killed runs continue, several processes
share the work, and audio that cannot be scored is an error of its own rows. Then every row gets the scores of its
clips, what they prefer, and how long they are (`seconds`, `seconds_b`).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from music.clips import read_header
from music.errors import InputError
from music.file_hashes import file_hashes
from music.hashing import canonical_json, sha256_text
from reward.benchmark.metrics import PREFERENCE_TASKS
from reward.benchmark.result_rows import PREFERRED, RATED, Row, dataset_of, preferred

#: field of a clip -> what its predictions end with
SIDES = {"audio-path": "", "audio2": "_b"}
_OURS = {f"seconds{ending}" for ending in SIDES.values()} | {"error"}
_NAMES = {"a": "model_a", "b": "model_b", "both": "both"}


def requests_of(rows: Iterable[Row], root: Path, contents: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what is to be scored, by id, as `reward.scoring.rows` reads it; the same clip and prompt come once.

    Parameters
    ----------
    rows
        Of the benchmark.
    root
        Folder that their paths are relative to.
    contents
        From `contents_of`.
    """
    requests: dict[str, dict[str, str]] = {}
    for row in rows:
        for side in sides_of(row):
            if row.get(side):
                request = _request(row, side, root, contents)
                requests[request["id"]] = request
    return requests


def sides_of(row: Row) -> list[str]:
    """Return the fields of the clips that a row must have: two of a preference, one of a rating."""
    return list(SIDES) if dataset_of(row) in PREFERENCE_TASKS else ["audio-path"]


def _request(row: Row, side: str, root: Path, contents: Mapping[str, str]) -> dict[str, str]:
    named = {"audio": row[side], "text": row.get("prompt"), "lyrics": row.get("lyrics")}
    if row.get("ref-audio-path"):
        named["reference"] = row["ref-audio-path"]
    asked = {name: str(value or "") for name, value in named.items()}
    identity = sha256_text(canonical_json(asked))[:24]
    for name in {"audio", "reference"} & asked.keys():
        asked[name] = str(root.absolute() / asked[name])
    content = " ".join(contents[asked[name]] for name in ("audio", "reference") if name in asked)
    return {"id": identity, **asked, "content": content}  # another content under the same name is scored anew


def contents_of(rows: Iterable[Row], root: Path, memory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that rows name, by its absolute path; empty for one that is missing.

    Parameters
    ----------
    rows
        Of the benchmark.
    root
        Folder that their paths are relative to.
    memory
        Folder that remembers them (`music.file_hashes`).
    """
    named = {
        root.absolute() / str(row[name])
        for row in rows
        for name in (*SIDES, "ref-audio-path")
        if row.get(name)
    }
    there = sorted(path for path in named if path.is_file())
    return {str(path): "" for path in named} | {
        str(path): found for path, found in file_hashes(there, memory).items()
    }


def with_predictions(
    row: Row,
    root: Path,
    contents: Mapping[str, str],
    scored: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, str],
) -> dict[str, Any]:
    """Return a row with its predictions, or with the `error` that keeps it from having them.

    Predictions of another scorer that it had are dropped.

    Parameters
    ----------
    row
        Of the benchmark.
    root
        Folder that its paths are relative to.
    contents
        From `contents_of`.
    scored
        Results of `reward.scoring.rows` by id.
    metrics
        Task of `RATED` -> the scorer's metric that answers it.
    """
    given = {
        name: value for name, value in row.items() if not name.startswith("predicted_") and name not in _OURS
    }
    found: dict[str, Any] = {}
    sides = sides_of(row)
    for side in sides:
        if not row.get(side):
            return {**given, "error": f"{side} is missing"}
        request = _request(row, side, root, contents)
        result = scored[request["id"]]
        if "error" in result:
            return {**given, "error": f"{row[side]}: {result['error']}"}
        for task, metric in metrics.items():
            found[f"predicted_{RATED[task]}{SIDES[side]}"] = result[metric]
        try:
            header = read_header(Path(request["audio"]))
        except InputError as error:  # of a scorer that never opened it
            return {**given, "error": f"{row[side]}: {error}"}
        found[f"seconds{SIDES[side]}"] = header.samples / header.sample_rate
    if len(sides) == 2:
        for task in metrics:
            name = f"predicted_{RATED[task]}"
            found[f"predicted_{PREFERRED[task]}"] = _NAMES[preferred(found[name] - found[f"{name}_b"])]
        if "musicality" in metrics:
            found[f"predicted_{PREFERRED['preference']}"] = found[f"predicted_{PREFERRED['musicality']}"]
    return {**given, **found}


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
