"""Score the rows of a JSON Lines file, or audio files, of which each is a row.

A row of the input is ``id, audio`` and optionally ``text, lyrics, reference``; paths are relative to the
file, and other fields are carried. A row of the output is the row of the input, then the metrics (or ``error`` with
the cause) and ``model``, the scorer's hash; then what `reward.scoring.loaded_rows` tells of the audio: the hash of the
file, what was done to it before it was heard, and a warning where it is far above full scale.

While it runs, each process appends rows to ``<output>.part-0000R``; at the end they are merged into the output in the
order of the input. So a killed run can be run again: rows that are there without an error, and are the same in the
input and on disk, are kept; the others are scored. Threads decode audio ahead of the scorer.
"""

import contextlib
import glob
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line, read_jsonl
from music.paths import check_apart, check_file
from music.processes import Processes
from music.progress import progress
from music.shards import ShardedRows
from reward.protocol import Scorer, scores_of
from reward.scoring.audio_files import audio_rows, folder_of, is_audio
from reward.scoring.loaded_rows import (
    TOLD,
    WARNING,
    FilesOnDisk,
    LoadedRow,
    Row,
    load_row,
    sound_request,
    writable,
)
from reward.scoring.options import Scoring
from reward.scoring.read_ahead import read_ahead
from reward.scoring.threads import fastest_threads

_GPU_BATCH = 16
_OWN = ("model", "error", *TOLD)  # fields of results beside the metrics
_FIELDS = ("id", "audio", "text", "lyrics", "reference")  # of a request
_REQUESTS, _SCORES = "requests.jsonl", "scores.jsonl"


@dataclass(frozen=True)
class RowCounts:
    """Numbers of rows that were scored now, kept from an earlier run, could not be scored, and have a warning.

    Attributes
    ----------
    scored, kept, failed, warned
        The numbers; no row is scored and kept.
    changed
        Number of those with a score of other audio, or another reference, than their files hold now.
    results
        The rows themselves.
    """

    scored: int
    kept: int
    failed: int
    warned: int = 0
    changed: int = 0
    results: Sequence[Row] = field(default=(), repr=False)


def score_rows(
    source: Path,
    output: Path,
    scorer: Scorer,
    processes: Processes | None = None,
    batch: int = 1,
    workers: int = 0,
    accumulate: bool = False,
    root: Path | None = None,
    limit: int | None = None,
    text: str = "",
) -> RowCounts:
    """Score the rows of `source` into `output`.

    Parameters
    ----------
    source, output
        The files; the source may be a folder of audio instead, or an audio file (`reward.scoring.audio_files`).
    scorer
        The judge.
    processes
        Processes that share the work; all must call.
    batch
        Number of requests that the scorer is handed at a time, or more if it says so; a kill loses at most as many.
    workers
        Threads that decode audio ahead for a scorer that takes clips; with 0 it is handed paths, and reads them itself.
    accumulate
        Whether to keep results of rows that are not in `source`, behind the others, instead of refusing them.
    root
        Folder that paths in the rows are relative to; that of `source` by default.
    limit
        Number of rows to score, the first ones; results that are there of further ones stay.
    text
        Text of the prompt that audio files were made for.

    Returns
    -------
    RowCounts
        Over all processes, of the rows to score.

    Raises
    ------
    InputError
        If an id is missing or comes twice, a field has the name of a result, or the output belongs to another
        version of the scorer or (unless it accumulates) another input.
    BrokenScorerError
        If the scorer does not give what it announces.
    """
    processes = processes or Processes()
    batch = max(batch, scorer.batch_size)
    table = check_files(source, output)
    rows = _read(source, scorer, text)
    _check(table, rows, source, scorer, accumulate)
    wanted = dict(itertools.islice(rows.items(), limit))
    older = _left_by_older_version(output, rows, scorer)
    files = FilesOnDisk(root or folder_of(source))
    found = [*(place.row for place in table.rows()), *older]
    finished = [row for row in found if row["id"] in wanted and _is_finished(row, rows, scorer)]
    stale = files.changed(finished, max(1, workers), processes.is_main)
    done = {row["id"] for row in finished if files.key(row) not in stale}
    changed = len({row["id"] for row in finished} - done)
    missing = [identity for identity in wanted if identity not in done]
    # all have read before anybody writes
    processes.agree({"hash of the scorer": scorer.hash, "content of the rows": rows, "missing rows": missing})
    share = processes.shard([wanted[identity] for identity in missing])
    bar = progress(total=len(share), desc=f"score ({scorer.name})", disable=not (processes.is_main and share))
    with bar, table.appender(processes.rank) as file, fastest_threads(scorer, len(share)):
        read = partial(load_row, files=files, scorer=scorer, decode=workers > 0 and scorer.takes_clips)
        loaded = read_ahead(read, share, workers, batch + workers)
        for start in range(0, len(share), batch):
            part = share[start : start + batch]
            file.append(*_scored(part, list(itertools.islice(loaded, len(part))), scorer))
            bar.update(len(part))
    processes.barrier()
    if processes.is_main:
        table.merge(
            lambda located: _in_order(
                (row for row in [*(place.row for place in located), *older] if files.key(row) not in stale),
                rows,
                scorer,
            )
        )
    processes.barrier()
    results = [place.row for place in table.rows() if place.row["id"] in wanted]
    failed, warned = (sum(name in row for row in results) for name in ("error", WARNING))
    return RowCounts(len(wanted) - len(done) - failed, len(done), failed, warned, changed, results)


def score_requests(
    requests: Iterable[Mapping[str, str]],
    folder: Path,
    scorer: Scorer,
    processes: Processes,
    options: Scoring,
    accumulate: bool = False,
) -> dict[str, Row]:
    """Write requests to ``requests.jsonl`` of a folder, score them into ``scores.jsonl``, and return its rows by id.

    Requests are rows as `score_rows` reads them; the options have the device and the workers.
    """
    source, scores = folder / _REQUESTS, folder / _SCORES
    if processes.is_main:
        write_text(source, "".join(map(dump_line, requests)))
    processes.barrier()
    score_rows(source, scores, scorer, processes, batch_on(options.device), options.workers, accumulate)
    return {row["id"]: row for _, row in read_jsonl(scores)}


def check_request_files(data: Path, folder: Path, *others: str) -> None:
    """`InputError` if `score_requests`, or what else is written into its folder, would overwrite the data."""
    check_apart(data, *(folder / name for name in (_REQUESTS, _SCORES, *others)))


def check_files(source: Path, output: Path) -> ShardedRows:
    """Return the table that the output and its parts are, before a model is loaded.

    Raises
    ------
    InputError
        If the input cannot be read, or the output is no ``.jsonl`` file or the input itself.
    """
    if not is_audio(source):
        check_file(source, "input")
    table = ShardedRows.beside(output)
    if output.suffix != ".jsonl" or table.owns(source):
        table_too = " (a table is written by --csv)" if output.suffix == ".csv" else ""
        raise InputError(
            f"the output must be a .jsonl file other than the input, got {output} for {source}{table_too}"
        )
    return table


def batch_on(device: str) -> int:
    """Return how many requests a scorer is best handed at a time on a device of `music.devices`."""
    import torch

    return _GPU_BATCH if device != "cpu" and torch.cuda.is_available() else 1


def _read(source: Path, scorer: Scorer, text: str) -> dict[str, Row]:
    """Return the rows by id."""
    if is_audio(source):
        return {row["id"]: row for _, row in audio_rows(source, text)}
    taken = [name for name in scorer.metrics if name in (*_FIELDS, *_OWN)]
    if taken:
        raise InputError(
            f"scorer {scorer.name} gives {taken[0]!r}, a field that rows have already: rename the metric"
        )
    rows: dict[str, Row] = {}
    lines: dict[str, int] = {}
    for line, row in read_jsonl(source, torn_end=False, whole_texts=False):  # a row's own error
        place = f"{source} line {line}"
        identity = row.get("id")
        if not isinstance(identity, str) or not identity:
            pool = f": score a pool by --pool {source.parent}" if "prompt_id" in row else ""
            raise InputError(f"{place}: expected a field 'id' with a text, got {identity!r}{pool}")
        if writable(identity) != identity:
            raise InputError(f"{place}: the id {identity!a} holds a lone surrogate, which is no character")
        if identity in rows:
            raise InputError(f"{place}: id {identity!r} comes twice, first in line {lines[identity]}")
        for name in (*scorer.metrics, *_OWN):
            if name in row:
                raise InputError(f"{place}: the field {name!r} would be overwritten by the result: rename it")
        rows[identity], lines[identity] = row, line
    return rows


def _check(
    table: ShardedRows, rows: Mapping[str, Row], source: Path, scorer: Scorer, accumulate: bool
) -> None:
    """`InputError` if the results that are there belong to another version of the scorer, or to another input."""
    for place in table.rows():
        identity, model = place.row.get("id"), place.row.get("model")
        if not isinstance(identity, str) or (identity not in rows and not (accumulate and identity)):
            raise InputError(f"{place.where}: id {identity!r} is not in {source}: choose another output")
        if model != scorer.hash:
            raise InputError(
                f"{place.where}: scored by another model ({str(model)[:12]}, not {scorer.hash[:12]}): "
                "choose another output, or delete this one to score it again"
            )


def _left_by_older_version(output: Path, rows: Mapping[str, Row], scorer: Scorer) -> list[Row]:
    """Return the scores in parts of the output as they were once called; as a user may call a file so, they stay.

    A file that has all rows is no part.
    """
    found: list[Row] = []
    for path in sorted(output.parent.glob(f"{glob.escape(output.stem)}-[0-9][0-9][0-9][0-9][0-9].jsonl")):
        with contextlib.suppress(InputError):
            scores = [row for _, row in read_jsonl(path) if _is_score(row, rows, scorer)]
            found += scores if len(scores) < len(rows) else []
    return found


def _is_score(row: Row, rows: Mapping[str, Row], scorer: Scorer) -> bool:
    """Tell whether any row at all is a score of one of the rows as they are now."""
    known = row.get("model") == scorer.hash and isinstance(row.get("id"), str) and row["id"] in rows
    return known and _is_finished(row, rows, scorer)


def _is_finished(result: Row, rows: Mapping[str, Row], scorer: Scorer) -> bool:
    """Tell whether a result is a score of the row as it is in the input now; of one that is not there, a score."""
    numbers, texts = map(result.get, scorer.metrics), (result.get(name, "") for name in TOLD)
    if not (
        all(isinstance(one, int | float) for one in numbers) and all(isinstance(one, str) for one in texts)
    ):
        return False  # an error, or damage
    if result["id"] not in rows:
        return "error" not in result
    added = (*scorer.metrics, "model", *TOLD)
    return {name: value for name, value in result.items() if name not in added} == rows[result["id"]]


def _in_order(found: Iterable[Row], rows: Mapping[str, Row], scorer: Scorer) -> list[Mapping[str, Any]]:
    """Return one result for each id, in the order of the input, others behind; a score goes before an error."""
    best: dict[str, Row] = {}
    for row in found:
        if row["id"] not in best or _is_finished(row, rows, scorer):
            best[row["id"]] = row
    return [best[identity] for identity in dict.fromkeys([*rows, *best]) if identity in best]


def _scored(rows: Sequence[Row], loaded: Sequence[LoadedRow], scorer: Scorer) -> list[Row]:
    """Return the rows with their results; a row that cannot be scored does not harm its neighbours."""
    try:
        scores = scores_of(scorer, [sound_request(one) for one in loaded])
    except InputError as error:
        if len(rows) == 1:
            warning = loaded[0].told.get(WARNING)
            cause = f"{error} ({warning})" if warning else str(error)
            return [writable({**rows[0], "error": cause, "model": scorer.hash})]
        return [
            result for row, one in zip(rows, loaded, strict=True) for result in _scored([row], [one], scorer)
        ]
    return [
        {**row, **found, "model": scorer.hash, **one.told}
        for row, found, one in zip(rows, scores, loaded, strict=True)
    ]
