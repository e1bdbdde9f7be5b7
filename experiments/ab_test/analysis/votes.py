"""Answers with the key: who preferred which system."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.ab_test.study import HEADS, Key, Study
from music.errors import InputError
from music.jsonl import read_jsonl
from music.paths import exists, files_in, is_folder

ANSWERS = "answers.jsonl"  # beside the key, where `export` writes them
PREFERENCES = ("first", "second", "tie")


@dataclass(frozen=True)
class Vote:
    """One answer to one trial.

    Attributes
    ----------
    rater, position
        Id of the rater, and which of their turns it was.
    trial, kind
        Name of the trial, and what it is (see `experiments.ab_test.study.KeyTrial`).
    prompt
        Id of the prompt.
    repeat
        Whether the rater had answered this trial before.
    first, second
        Systems of the trial.
    swapped
        Whether the clip of the second was called A.
    preferred
        One of `PREFERENCES` for each head.
    confidence
        From 1 to 5 for each head.
    seconds
        Time from the first sight of the trial to the answer.
    comment
        In the rater's words.
    """

    rater: str
    position: int
    trial: str
    kind: str
    prompt: str
    repeat: bool
    first: str
    second: str
    swapped: bool
    preferred: Mapping[str, str]
    confidence: Mapping[str, int]
    seconds: float
    comment: str

    @property
    def shown(self) -> tuple[str, str]:
        """Systems of the clips that the page called A and B."""
        return (self.second, self.first) if self.swapped else (self.first, self.second)

    def side(self, head: str) -> str:
        """Return what was chosen as the page called it: a, b or tie."""
        preferred = self.preferred[head]
        return preferred if preferred == "tie" else "b" if (preferred == "second") != self.swapped else "a"


def load_votes(
    folder: Path, answers: Path | None, study: Study, key: Key
) -> tuple[list[Vote], dict[str, int | None]]:
    """Return `votes_of` and `headphones_of` answers to the study in a folder.

    They are read from a file, or from a folder of files; by default from the one that `export` writes.

    Raises
    ------
    InputError
        If there are none, or they are not of this study.
    """
    place = answers or folder / ANSWERS
    if not exists(place):
        raise InputError(f"{place} does not exist: `export --to answers` writes it, or --answers names it")
    rows = read_rows(place)
    if not rows:
        raise InputError(f"{place} holds no answer")
    return votes_of(rows, study, key), headphones_of(rows, study)


def read_rows(place: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of answers, or of all ``.jsonl`` files of a folder.

    Raises
    ------
    InputError
        If there is none, or one is not what a server or a static page writes; the message names file and line.
    """
    from pydantic import ValidationError

    from experiments.ab_test.serving.answers import StoredAnswer

    files = files_in(place, "*.jsonl") if is_folder(place) else [place]
    if not files:
        raise InputError(f"{place} holds no .jsonl file with answers")
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for file in files:
        for line, row in read_jsonl(file, torn_end=False):
            try:
                stored = StoredAnswer.model_validate(row).model_dump()
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(map(str, first["loc"]))
                raise InputError(f"{file} line {line}: field {field}: {first['msg']}") from error
            key = (stored["rater"], stored["position"])
            if rows.setdefault(key, stored) != stored:
                raise InputError(
                    f"{file} line {line}: rater {key[0]} has another answer to turn {key[1]} already"
                )
    return list(rows.values())


def votes_of(rows: Sequence[Mapping[str, Any]], study: Study, key: Key) -> list[Vote]:
    """Return the votes, rater by rater in the order of their turns; the same file twice counts once.

    Raises
    ------
    InputError
        If a row belongs to another study, or is not about the trial of that turn.
    """
    votes: list[Vote] = []
    seen: set[tuple[str, str]] = set()
    for row in sorted(rows, key=lambda row: (row["rater"], row["position"])):
        turn = f"turn {row['position']} of rater {row['rater']}"
        if row["study"] != study.id:
            raise InputError(f"{turn} belongs to study {row['study']}, not to {study.id}")
        turns = study.schedules[row["place"]] if row["place"] < len(study.schedules) else []
        if row["position"] >= len(turns) or turns[row["position"]] != (row["trial"], row["swapped"]):
            raise InputError(f"{turn} is not about the trial that the study has there")
        told, rater_and_trial = key.trials[row["trial"]], (row["rater"], row["trial"])
        clip_a, clip_b = ("second", "first") if row["swapped"] else ("first", "second")
        preferred = {"a": clip_a, "b": clip_b, "tie": "tie"}
        votes.append(
            Vote(
                rater=row["rater"],
                position=row["position"],
                trial=row["trial"],
                kind=told.kind,
                prompt=key.prompts[study.trials[row["trial"]].prompt].id,
                repeat=rater_and_trial in seen,
                first=told.first,
                second=told.second,
                swapped=row["swapped"],
                preferred={head: preferred[row[head]["choice"]] for head in HEADS},
                confidence={head: row[head]["confidence"] for head in HEADS},
                seconds=row["answered_at"] - row["shown_at"],
                comment=row["comment"],
            )
        )
        seen.add(rater_and_trial)
    return votes


def headphones_of(rows: Sequence[Mapping[str, Any]], study: Study) -> dict[str, int | None]:
    """Return in how many trials of the headphone check each rater was right; None without the check."""
    right = [trial.right for trial in study.headphones]
    heard = {row["rater"]: row["sound_check"] for row in rows}
    return {
        rater: None if check is None else sum(map(operator.eq, check, right))
        for rater, check in heard.items()
    }


def counted(votes: Sequence[Vote]) -> list[Vote]:
    """Return the votes that say something of the systems: first answers to pairs."""
    return [vote for vote in votes if vote.kind == "pair" and not vote.repeat]
