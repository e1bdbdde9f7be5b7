"""The answers of a judge: found in its text, checked, and kept."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.jsonl import JsonlAppender, read_jsonl
from music.paths import exists
from reward.data.rows import PUBLISHED_LABELS
from reward.judgements import HEADS

PREFERENCES = ("model_a", "model_b", "both", "neither")
MARKS = (1, 10)


class AnswerError(ValueError):
    """Why a text is no answer, worded for the judge itself."""


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one head; a and b are the clips as it heard them, first and second.

    Attributes
    ----------
    preference
        Label "a", "b", "both" or "neither".
    score_a, score_b
        Marks from 1 to 10.
    """

    preference: str
    score_a: float
    score_b: float

    def reversed(self) -> "Verdict":
        """Return the same with a and b exchanged."""
        other = {"a": "b", "b": "a"}
        return Verdict(other.get(self.preference, self.preference), self.score_b, self.score_a)


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes
    ----------
    key
        Identity of the question; see `reward.judge.questions.Judge.key`.
    verdicts
        Verdicts by head; empty if the judge gave no answer that could be used.
    error
        Reason why it did not; empty if it did.
    tokens_in, tokens_out
        Tokens of all attempts.
    attempts
        Number of times that it was asked.
    """

    key: str
    verdicts: Mapping[str, Verdict]
    error: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    attempts: int = 1


def parse_answer(text: str) -> dict[str, Verdict]:
    """Return the verdicts in a judge's text.

    Code fences and words around the object are ignored; anything else must be as requested.

    Raises
    ------
    AnswerError
        If there is no such object in it.
    """
    found = _object(text)
    verdicts = {}
    for head in HEADS:
        part = found.get(head)
        if not isinstance(part, dict):
            raise AnswerError(f'the object has no "{head}"')
        if part.get("preference") not in PREFERENCES:
            raise AnswerError(
                f"the preference of {head} is {json.dumps(part.get('preference'))}, not one of {', '.join(PREFERENCES)}"
            )
        marks = [_mark(part.get(f"score_{side}"), f"score_{side} of {head}") for side in "ab"]
        verdicts[head] = Verdict(PUBLISHED_LABELS[part["preference"]], *marks)
    return verdicts


def parse_marks(text: str) -> dict[str, float]:
    """Return the mark of each head in a judge's text on one clip, found as `parse_answer` finds verdicts.

    Raises
    ------
    AnswerError
        If there is no such object in it.
    """
    found = _object(text)
    return {head: _mark(found.get(head), head) for head in HEADS}


def _object(text: str) -> dict[str, Any]:
    """Return the first JSON object in a text that has a head."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):  # no JSON, or a number of thousands of digits
            found = None
        if isinstance(found, dict) and any(head in found for head in HEADS):
            return found
        start = text.find("{", start + 1)
    raise AnswerError("there is no whole JSON object with the requested names")


def _mark(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not MARKS[0] <= value <= MARKS[1]:
        raise AnswerError(f"{name} is {json.dumps(value)}, not a number from {MARKS[0]} to {MARKS[1]}")
    return float(value)


class AnswerStore:
    """Answers on disk, by the key of their question; each is durable when `add` returns.

    Parameters
    ----------
    path
        JSON Lines; one process at a time writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[str, Answer] = {}
        if exists(path):
            for line, row in read_jsonl(path):
                try:
                    verdicts = {head: Verdict(**part) for head, part in row["verdicts"].items()}
                    self._answers[row["key"]] = Answer(**{**row, "verdicts": verdicts})
                except (KeyError, TypeError, AttributeError) as error:
                    raise InputError(f"{path} line {line} is no answer ({error})") from error
        self._file = JsonlAppender(path)

    def get(self, key: str) -> Answer | None:
        """Return the answer to a question, if there is one."""
        return self._answers.get(key)

    def add(self, answer: Answer) -> None:
        """Keep an answer; it takes the place of an earlier one to the same question."""
        self._file.append(asdict(answer))
        self._answers[answer.key] = answer
