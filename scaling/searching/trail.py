"""What a search leaves beside the candidates of a pool: which it has looked at half-way, and what it has finished.

    pool/search.json      how the pool is searched, written before any work
    pool/partials.jsonl   a `Look` a row: a candidate as it was at some share of its work, and whether it went on
    pool/searched.jsonl   a row for each prompt that was searched: its finished candidates, and the work

These are rows of their own kind, without clips: nothing takes a candidate that was dropped for one that was made, and
best of n can still make it. The looks of a prompt are written first, then its candidates, then its row of
``searched.jsonl``: without that one, the next run searches it again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from music.durable import write_text
from music.errors import InputError
from music.files import read_object
from music.hashing import canonical_json, sha256_text
from music.jsonl import JsonlAppender
from music.paths import is_file
from music.shards import Located, ShardedRows
from scaling.searching.compute import Work

_OTHER_OUTPUT = "choose another --output folder (nothing was changed)"


@dataclass(frozen=True)
class Look:
    """A candidate as it was on its way.

    Attributes
    ----------
    candidate
        Its index among those that were begun for the prompt.
    share
        Share of its work that was done, 0 to 1.
    kept
        Whether it went on.
    reward
        What decided about it.
    scores
        What that is made of, by metric.
    """

    candidate: int
    share: float
    kept: bool
    reward: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Searched:
    """What was found for a prompt.

    Attributes
    ----------
    candidates
        Indices of its finished candidates, ascending.
    work
        Work that it took.
    """

    candidates: tuple[int, ...]
    work: Work


class Trail:
    """The rows of one search; a context manager while it writes.

    Parameters
    ----------
    pool_folder
        The pool.
    spec
        Everything but prompt and seed that decides the candidates of the pool.
    rank
        Rank of this process; each writes files of its own until `merge`.

    Raises
    ------
    InputError
        If a row is not whole, or of another spec.
    """

    def __init__(self, pool_folder: Path, spec: Mapping[str, Any], rank: int = 0) -> None:
        self._spec, self._rank = sha256_text(canonical_json(spec)), rank
        self._looks = ShardedRows(pool_folder, "partials")
        self._prompts = ShardedRows(pool_folder, "searched")
        self._open: list[JsonlAppender] = []
        self.searched: dict[str, Searched] = {}
        self.reload()

    def reload(self) -> None:
        """Read the rows again, as another process may have added some."""
        self.searched = {place.row["prompt_id"]: self._found(place) for place in self._prompts.rows()}

    def add_looks(self, prompt_id: str, looks: Sequence[tuple[int, Look]]) -> None:
        """Add what was looked at for a prompt, each with the seed of its candidate; durable on return."""
        rows = [
            {"prompt_id": prompt_id, "seed": seed, "spec": self._spec, **asdict(look)} for seed, look in looks
        ]
        if rows:
            self._appenders()[0].append(*rows)

    def add(self, prompt_id: str, searched: Searched) -> None:
        """Add what was found for a prompt, whose looks and candidates are written; durable on return."""
        found = {"candidates": list(searched.candidates), "work": asdict(searched.work)}
        self._appenders()[1].append({"prompt_id": prompt_id, "spec": self._spec, **found})
        self.searched[prompt_id] = searched

    def merge(self) -> None:
        """Unite the files of all writers in canonical order; for one process, with all writers closed."""
        self._looks.merge(lambda rows: _distinct(rows, "prompt_id", "candidate", "share"))
        self._prompts.merge(lambda rows: _distinct(rows, "prompt_id"))
        self.reload()

    def __enter__(self) -> "Trail":
        """Return the trail."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files of this process."""
        while self._open:
            self._open.pop().close()

    def _appenders(self) -> list[JsonlAppender]:
        if not self._open:
            self._open = [table.appender(self._rank) for table in (self._looks, self._prompts)]
        return self._open

    def _found(self, place: Located) -> Searched:
        row = place.row
        try:
            if row["spec"] != self._spec:
                raise InputError(f"{place.where}: made with another spec; {_OTHER_OUTPUT}")
            return Searched(tuple(row["candidates"]), Work(**row["work"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"{place.where}: not a row of a search ({error})") from error


def claim_search(pool_folder: Path, facts: Mapping[str, Any]) -> None:
    """Say how a pool is searched, before any work; for one process.

    Parameters
    ----------
    pool_folder
        The pool; it need not exist.
    facts
        What decides what is found, `method` among it; JSON.

    Raises
    ------
    InputError
        If it was searched otherwise, naming what differs.
    """
    path = pool_folder / "search.json"
    if is_file(path):
        before = read_object(path)
        changed = [name for name in sorted({*before, *facts}) if before.get(name) != facts.get(name)]
        if "method" in changed:
            changed = ["method"]
        if changed:
            detail = "; ".join(f"{name} was {before.get(name)!r}, is {facts.get(name)!r}" for name in changed)
            raise InputError(f"{pool_folder} was searched otherwise ({detail}); {_OTHER_OUTPUT}")
    else:
        write_text(path, json.dumps(facts, indent=1, sort_keys=True) + "\n")


def read_looks(pool_folder: Path) -> dict[str, list[Look]]:
    """Return what a search has looked at half-way, by prompt id.

    Raises
    ------
    InputError
        If a row is not whole.
    """
    found: dict[str, list[Look]] = {}
    table = ShardedRows(pool_folder, "partials")
    for row in _distinct(table.rows(), "prompt_id", "candidate", "share"):
        names = ("candidate", "share", "kept", "reward", "scores")
        try:
            look = Look(**{name: row[name] for name in names})
        except KeyError as error:
            raise InputError(f"{table.merged}: not a row of a search ({error})") from error
        found.setdefault(row["prompt_id"], []).append(look)
    return found


def _distinct(rows: Sequence[Located], *key: str) -> list[Mapping[str, Any]]:
    """Return the rows in the order of their keys, each key once: a prompt that was searched again says the same."""
    try:
        found = {tuple(place.row[name] for name in key): place.row for place in rows}
    except KeyError as error:
        raise InputError(f"{rows[0].path}: a row has no {error}: not a row of a search") from error
    return [found[one] for one in sorted(found)]
