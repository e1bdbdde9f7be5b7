"""Questions about pairs of a pool's clips, and answers as rows that `reward/train.py` learns from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from music.candidate import Candidate
from music.durable import write_text
from music.jsonl import dump_line, read_jsonl
from music.pool import Pool
from reward.judgements import HEADS, judgement_of


@dataclass(frozen=True)
class Question:
    """Two clips of a prompt that somebody is asked about.

    Attributes
    ----------
    id
        Name that is unique in a run: the round, and which of its questions.
    prompt_id
        Id of the prompt.
    a, b
        Indices of the candidates, in the order in which they are shown.
    held_out
        Whether nothing is learned from the answer.
    """

    id: str
    prompt_id: str
    a: int
    b: int
    held_out: bool


@dataclass(frozen=True)
class Answer:
    """What somebody said.

    Attributes
    ----------
    question
        The question.
    rater
        Who answered.
    preferences
        For each of `HEADS` "a", "b", "tie" or another label of `reward.judgements`, of the question's a and b.
    confidence
        For each of `HEADS` how sure they are, from 1 to 5; empty if that is not known.
    """

    question: Question
    rater: str
    preferences: Mapping[str, str]
    confidence: Mapping[str, float] = field(default_factory=dict)


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """Write questions, a line each."""
    write_text(path, "".join(dump_line(asdict(one)) for one in questions))


def read_questions(path: Path) -> list[Question]:
    """Read what `write_questions` wrote."""
    return [Question(**row) for _, row in read_jsonl(path)]


def write_answers(
    path: Path,
    answers: Sequence[Answer],
    pool: Pool,
    candidates: Mapping[str, Sequence[Candidate]],
) -> None:
    """Write answers as rows of `reward.judgements`, whose `facts` tell question, rater and candidates.

    Parameters
    ----------
    path
        File to write; paths of audio are relative to its folder.
    answers
        The answers.
    pool
        Pool of the clips.
    candidates
        Candidates by prompt id, in the order of their indices.

    Raises
    ------
    InputError
        If an answer has a label that there is not.
    """
    rows = []
    for number, answer in enumerate(answers):
        asked = answer.question
        clips = candidates[asked.prompt_id]
        prompt = pool.prompt(clips[0])
        own: dict[str, Any] = {"question": asked.id, "prompt_id": asked.prompt_id, "rater": answer.rater}
        own |= {"candidate_a": asked.a, "candidate_b": asked.b, "held_out": asked.held_out}
        row: dict[str, Any] = {
            "id": f"answer-{asked.id}-{number}",
            "text": prompt.text,
            "lyrics": prompt.lyrics,
            "reference": relative(prompt.reference, path.parent) if prompt.reference else "",
            "audio_a": relative(pool.path(clips[asked.a]), path.parent),
            "audio_b": relative(pool.path(clips[asked.b]), path.parent),
            **{f"preference_{head}": answer.preferences[head] for head in HEADS},
            **{f"confidence_{head}": value for head, value in answer.confidence.items()},
            "facts": {**prompt.facts, **own},
        }
        judgement_of(row, path.parent)
        rows.append(row)
    write_text(path, "".join(map(dump_line, rows)))


def read_rows(path: Path, folder: Path) -> list[dict[str, Any]]:
    """Return rows of judgement of a file as they are, but with paths that are relative to another folder."""
    rows = []
    for _, row in read_jsonl(path):
        named = (name for name in ("audio", "audio_a", "audio_b", "reference") if row.get(name))
        rows.append(row | {name: relative(path.parent / row[name], folder) for name in named})
    return rows


def relative(path: Path, folder: Path) -> str:
    """Return a path relative to a folder."""
    return os.path.relpath(path.absolute(), folder.absolute())
