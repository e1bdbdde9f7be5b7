"""Scores beside a pool: ``scores/<scorer>.jsonl``, any number of scorers, each scored from the files on disk.

A row is ``prompt_id, candidate, sha256, scorer, hash, scores``. Its key (prompt id, candidate, SHA-256 of the
audio, hash of the scorer) means that a score for changed audio, or by another version of a scorer, is never
used again.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from music.durable import TEMPORARY
from music.errors import InputError
from music.hashing import path_name
from music.jsonl import JsonlAppender, read_jsonl
from music.pool import Candidate
from music.shards import Located, ShardedRows

Key = tuple[str, int, str, str]


class ScoreTable:
    """The scores of one scorer for the candidates of one pool; a context manager while it writes.

    Parameters
    ----------
    pool_folder
        The pool.
    scorer
        Name of the scorer.
    scorer_hash
        Identity of its weights and settings (`Scorer.hash`).
    metrics
        Its metrics: what every row holds.
    rank
        Rank of this process; each process writes a file of its own until `merge`.

    Raises
    ------
    InputError
        If a row of the file is not whole.
    """

    def __init__(
        self, pool_folder: str | Path, scorer: str, scorer_hash: str, metrics: Sequence[str], rank: int = 0
    ) -> None:
        self.scorer = scorer
        self.hash = scorer_hash
        self.metrics = tuple(metrics)
        self._rank = rank
        self._files = ShardedRows(Path(pool_folder) / "scores", _stem(scorer))
        self._appender: JsonlAppender | None = None
        self._scores: dict[Key, dict[str, float]] = {}
        self.reload()

    def reload(self) -> None:
        """Read the rows again, as another process may have added some."""
        self._scores = {_key(place): place.row["scores"] for place in self._files.rows()}

    def missing(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Return the candidates that this version of the scorer has not scored yet, in the order given."""
        return [candidate for candidate in candidates if self._key(candidate) not in self._scores]

    def append(self, candidate: Candidate, scores: Mapping[str, float]) -> None:
        """Add the scores of one candidate; durable on return.

        Raises
        ------
        InputError
            If a metric is missing or unknown or its value is not finite, or the disk is full.
        """
        where = f"{self.scorer} on candidate {candidate.candidate} of prompt {candidate.prompt_id!r}"
        if set(scores) != set(self.metrics):
            raise InputError(
                f"{where}: expected the metrics {', '.join(self.metrics)}, got {', '.join(scores)}"
            )
        values = {name: float(scores[name]) for name in self.metrics}
        for name, value in values.items():
            if not math.isfinite(value):
                raise InputError(f"{where}: {name} is {value}, not a finite number")
        if self._appender is None:
            self._appender = self._files.appender(self._rank)
        row = {"prompt_id": candidate.prompt_id, "candidate": candidate.candidate, "sha256": candidate.sha256}
        self._appender.append({**row, "scorer": self.scorer, "hash": self.hash, "scores": values})
        self._scores[self._key(candidate)] = values

    def table(self, candidates: Iterable[Candidate]) -> list[dict[str, float]]:
        """Return the scores of each candidate, in the order given; `InputError` if one has none."""
        candidates = list(candidates)
        if missing := self.missing(candidates):
            identity, index = missing[0].key
            raise InputError(
                f"{self._files.merged} has no score for candidate {index} of prompt {identity!r}"
                f" ({len(missing)} missing): score the pool first"
            )
        return [self._scores[self._key(candidate)] for candidate in candidates]

    def merge(self) -> None:
        """Unite the files of all writers in canonical order; for one process, with all writers closed."""
        self._files.merge(
            lambda rows: [row for _, row in sorted({_key(place): place.row for place in rows}.items())]
        )
        self.reload()

    def close(self) -> None:
        """Close the file of this process."""
        if self._appender is not None:
            self._appender.close()
            self._appender = None

    def __enter__(self) -> "ScoreTable":
        """Return the table."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file of this process."""
        self.close()

    def _key(self, candidate: Candidate) -> Key:
        return candidate.prompt_id, candidate.candidate, candidate.sha256, self.hash


def read_scores(
    pool_folder: str | Path,
) -> dict[tuple[str, str], dict[tuple[str, int, str], dict[str, float]]]:
    """Return what all scorers have said of the candidates of a pool.

    Returns
    -------
    dict
        By name and hash of the scorer, then by prompt id, candidate and SHA-256 of the audio: the scores by metric.

    Raises
    ------
    InputError
        If a row of a file is not whole.
    """
    found: dict[tuple[str, str], dict[tuple[str, int, str], dict[str, float]]] = {}
    # in this order the files of single writers come before the merged one, as in `ShardedRows.rows`
    for path in sorted((Path(pool_folder) / "scores").glob("*.jsonl")):
        if path.exists() and not path.name.startswith(TEMPORARY):
            for line, row in read_jsonl(path):
                prompt_id, candidate, sha256, version = _key(Located(path, line, row))
                scores = found.setdefault((str(row.get("scorer")), version), {})
                scores[prompt_id, candidate, sha256] = row["scores"]
    return found


def _key(place: Located) -> Key:
    row = place.row
    try:
        float_scores = all(isinstance(value, float) for value in row["scores"].values())
        key = (row["prompt_id"], row["candidate"], row["sha256"], row["hash"])
    except (KeyError, AttributeError) as error:
        raise InputError(f"{place.where}: not a row of scores ({error})") from error
    if [type(part) for part in key] != [str, int, str, str]:
        raise InputError(f"{place.where}: not a row of scores (its key is {key!r})")
    if not float_scores:
        raise InputError(f"{place.where}: a score is not a number")
    return key


def _stem(scorer: str) -> str:
    """Return the file name of a scorer: its own name where that is safe and cannot be taken for a shard."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", scorer) and not re.search(r"-\d{5}$", scorer)
    return scorer if plain else path_name(scorer)
