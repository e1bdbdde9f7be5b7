"""Batch files, as OpenAI-style services take them: a request a line, and a reply a line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from music.durable import write_text
from music.errors import InputError
from music.jsonl import read_jsonl
from reward.judge.answers import Answer, AnswerError, parse_answer
from reward.judge.replies import ReplyError, completion_of

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000  # in one file


def write_batches(folder: Path, bodies: Iterator[tuple[str, Mapping[str, Any]]]) -> tuple[int, list[Path]]:
    """Write requests, each with the key of its question, and return their number and the files."""
    requests, size = 0, 0
    paths: list[Path] = []
    lines: list[str] = []

    def close() -> None:
        paths.append(folder / f"batch-{len(paths):03d}.jsonl")
        write_text(paths[-1], "".join(lines))
        lines.clear()

    for key, body in bodies:
        request = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
        line = json.dumps(request) + "\n"
        if lines and (size + len(line) > MOST_BYTES or len(lines) == MOST_REQUESTS):
            close()
            size = 0
        lines.append(line)
        size += len(line)
        requests += 1
    if lines:
        close()
    return requests, paths


def read_results(path: Path) -> Iterator[Answer]:
    """Yield the answers in a file of replies; failed ones have no verdicts.

    Raises
    ------
    InputError
        If a line is not a reply.
    """
    for line, row in read_jsonl(path, torn_end=False):
        key = row.get("custom_id")
        if not isinstance(key, str) or not ("response" in row or "error" in row):
            raise InputError(f"{path} line {line}: not a reply to a request of --export")
        yield _answer(key, row)


def _answer(key: str, row: Mapping[str, Any]) -> Answer:
    reply = row.get("response")
    status = reply.get("status_code") if isinstance(reply, dict) else None
    if row.get("error") or not isinstance(reply, dict) or status != 200:
        return Answer(key, {}, json.dumps(row.get("error") or status or reply))
    try:
        found = completion_of(reply.get("body"))
    except ReplyError as error:
        return Answer(key, {}, str(error))
    try:
        return Answer(key, parse_answer(found.text), "", found.tokens_in, found.tokens_out)
    except AnswerError as error:
        return Answer(key, {}, str(error), found.tokens_in, found.tokens_out)
