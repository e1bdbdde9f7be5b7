"""Predictions of any scorer for rows of CMI-RewardBench.

Each distinct pair of audio and prompt is scored once, by `reward.scoring.rows`: killed runs continue, several processes
share the work, and audio that cannot be scored is an error of its own rows. Then every row gets the scores of its
clips, what they prefer, and how long they are (`seconds`, `seconds_b`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from music.clips import read_header
from music.errors import InputError
from music.file_hashes import file_hashes
from music.hashing import canonical_json, sha256_text
from music.paths import is_readable
from reward.benchmark.metrics import PREFERENCE_TASKS
from reward.benchmark.result_rows import LOG_ODDS, PREFERRED, RATED, Row, dataset_of, preferred
from reward.cmi_rm.ordinal import chances_in, log_odds_of_chances

#: field of a clip -> what its predictions end with
SIDES = {"audio-path": "", "audio2": "_b"}
_OURS = {f"seconds{ending}" for ending in SIDES.values()} | {"error"}
_NAMES = {"a": "model_a", "b": "model_b", "both": "both"}


class Requests:
    """What has to be scored of rows of the benchmark, as `reward.scoring.rows` reads it.

    Parameters
    ----------
    rows
        Rows of the benchmark.
    root
        Folder that their paths are relative to.
    memory
        Folder that remembers the hashes of files (`music.file_hashes`).

    Attributes
    ----------
    by_id
        The requests; the same clip and prompt come once.
    """

    def __init__(self, rows: Sequence[Row], root: Path, memory: Path) -> None:
        self._root = root.absolute()
        fields = (*SIDES, "ref-audio-path")
        named = {self._root / str(row[name]) for row in rows for name in fields if row.get(name)}
        self._contents = file_hashes(sorted(filter(is_readable, named)), memory)
        found = [self.of(row, side) for row in rows for side in sides_of(row) if row.get(side)]
        self.by_id = {request["id"]: request for request in found}

    def of(self, row: Row, side: str) -> dict[str, str]:
        """Return the request of one of the clips of a row."""
        named = {"audio": row[side], "text": row.get("prompt"), "lyrics": row.get("lyrics")}
        if row.get("ref-audio-path"):
            named["reference"] = row["ref-audio-path"]
        request = {name: str(value or "") for name, value in named.items()}
        identity = sha256_text(canonical_json(request))[:24]
        files = {name: self._root / request[name] for name in ("audio", "reference") if name in request}
        content = " ".join(self._contents.get(path, "") for path in files.values())
        request |= {name: str(path) for name, path in files.items()}
        return {
            "id": identity,
            **request,
            "content": content,
        }  # another content under the same name is scored anew

    def refuse_missing(self) -> None:
        """`InputError` if a file that has to be scored, or is referred to, does not exist."""
        requests, names = self.by_id.values(), ("audio", "reference")
        needed = dict.fromkeys(one[name] for one in requests for name in names if name in one)
        missing = [path for path in needed if Path(path) not in self._contents]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(needed)} files do not exist, the first {missing[0]}: "
                "put them there, or leave their rows out by --on_error exclude"
            )


def sides_of(row: Row) -> list[str]:
    """Return the fields of the clips that a row must have: two of a preference, one of a rating."""
    return list(SIDES) if dataset_of(row) in PREFERENCE_TASKS else ["audio-path"]


def with_predictions(
    row: Row, requests: Requests, scored: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, str]
) -> dict[str, Any]:
    """Return a row with its predictions, or with the `error` that keeps it from having them.

    Predictions of another scorer that it had are dropped.

    Parameters
    ----------
    row
        Row of the benchmark.
    requests
        Requests of all rows.
    scored
        Results of `reward.scoring.rows` by id.
    metrics
        Task of `RATED` -> the scorer's metric that answers it.
    """
    given = {
        name: value for name, value in row.items() if not name.startswith("predicted_") and name not in _OURS
    }
    found: dict[str, Any] = {}
    results = []
    for side in sides_of(row):
        if not row.get(side):
            return {**given, "error": f"{side} is missing"}
        request = requests.of(row, side)
        result = scored[request["id"]]
        try:
            if "error" in result:
                raise InputError(result["error"])
            header = read_header(Path(request["audio"]))  # which a scorer may never have opened
        except InputError as error:
            return {**given, "error": f"{row[side]}: {error}"}
        results.append(result)
        for task, metric in metrics.items():
            found[f"predicted_{RATED[task]}{SIDES[side]}"] = result[metric]
        found[f"seconds{SIDES[side]}"] = header.samples / header.sample_rate
    if len(results) == 2:
        for task, metric in metrics.items():
            a, b = (chances_in(result, metric) for result in results)
            gap = results[0][metric] - results[1][metric]
            if a and b:
                gap = found[LOG_ODDS.format(task)] = log_odds_of_chances(a, b)
            found[f"predicted_{PREFERRED[task]}"] = _NAMES[preferred(gap)]
        if "musicality" in metrics:
            found[f"predicted_{PREFERRED['preference']}"] = found[f"predicted_{PREFERRED['musicality']}"]
    return {**given, **found}


def answers(scorer_metrics: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return which metric of a scorer answers which task; tasks that none answers are left out.

    An empty metric that is wanted for a task is the one of the task's own name, if the scorer has it.

    Raises
    ------
    InputError
        If it lacks a metric that was asked for, or answers nothing.
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
            f"the scorer measures {known}: name by --musicality or --alignment the one that answers it"
        )
    return found
