"""People as raters: a round's questions as a listening test (`experiments.ab_test`), and its answers.

The clips of each question are those of two systems for a prompt of its own, so a test about any pairs is one of two
systems. In the folder of the round lie

    pairs/side-1, pairs/side-2      what `build` takes for the two
    pairs/prompts.jsonl             a prompt for each question
    study                           what `build` writes, and `export` in the end: preferences.jsonl
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from music.candidate import Candidate
from music.durable import finished_folder, write_text
from music.errors import InputError
from music.files import read_text
from music.jsonl import dump_line, read_jsonl
from music.paths import exists, is_file
from music.pool import Pool
from reward.judgements import HEADS, load_preferences
from rlhf.asking.questions import Answer, Question, relative

SIDES = ("side-1", "side-2")  # names that no prompt holds, or the test would refuse it
_PAIRS, _STUDY, _ANSWERS, _PROMPTS = "pairs", "study", "preferences.jsonl", "prompts.jsonl"
_TURNS = 25  # pairs that one person hears


def write_pairs(
    folder: Path,
    questions: Sequence[Question],
    pool: Pool,
    candidates: Mapping[str, Sequence[Candidate]],
) -> None:
    """Write what `build` takes for some questions; it is whole or absent.

    Raises
    ------
    InputError
        If the folder holds the pairs of another run.
    """
    place = folder / _PAIRS
    prompts = "".join(dump_line(_prompt_row(one, pool, candidates, place)) for one in questions)
    if exists(place):
        if not is_file(place / _PROMPTS) or read_text(place / _PROMPTS) != prompts:
            raise InputError(f"{place} holds the pairs of another run: choose another --raters folder")
        return
    with finished_folder(place) as part:
        for side in SIDES:
            rows = [
                {
                    "file_name": relative(pool.path(_clips(one, candidates)[side]), place / side),
                    "prompt_id": one.id,
                }
                for one in questions
            ]
            write_text(part / side / "metadata.jsonl", "".join(map(dump_line, rows)))
        write_text(part / _PROMPTS, prompts)


def _clips(question: Question, candidates: Mapping[str, Sequence[Candidate]]) -> dict[str, Candidate]:
    """Return the clip of each side."""
    clips = candidates[question.prompt_id]
    return dict(zip(SIDES, (clips[question.a], clips[question.b]), strict=True))


def _prompt_row(
    question: Question, pool: Pool, candidates: Mapping[str, Sequence[Candidate]], folder: Path
) -> dict[str, Any]:
    """Return the prompt of a question; its facts tell the bytes of both clips, so that answers find their pair."""
    clips = _clips(question, candidates)
    prompt = pool.prompt(clips[SIDES[0]])
    row: dict[str, Any] = {"id": question.id, "text": prompt.text, "lyrics": prompt.lyrics}
    if prompt.reference:
        row["reference"] = relative(prompt.reference, folder)
    return row | {"facts": {**prompt.facts, **{side: clip.sha256 for side, clip in clips.items()}}}


def answers_file(folder: Path) -> Path:
    """Return where the answers to a round's questions come to lie."""
    return folder / _STUDY / _ANSWERS


def has_answers(folder: Path) -> bool:
    """Return whether people have answered."""
    return is_file(answers_file(folder))


def what_to_do(folder: Path, questions: int, seconds: float) -> str:
    """Return what a run waits for, and the commands that bring it."""
    study, pairs = folder / _STUDY, folder / _PAIRS
    systems = ",".join(f"{side}={pairs / side}" for side in SIDES)
    people = -(-questions // _TURNS)
    build = ["build", systems, "--prompts", str(pairs / _PROMPTS), "--output", str(study)]
    build += ["--trials_per_rater", str(_TURNS), "--raters", str(people), "--seconds", f"{seconds:g}"]
    steps = [
        build,
        ["serve", str(study / "blinded")],
        ["export", str(study), "--to", "answers"],
        ["export", str(study), "--to", "preferences", "--validation", "0"],
    ]
    commands = "".join(f"  python -m experiments.ab_test {shlex.join(step)}\n" for step in steps)
    return (
        f"waiting for {answers_file(folder)}: let people ({people}, if each hears up to {_TURNS} pairs) answer "
        f"{questions} questions while `serve` runs, export their answers, and run the same command again\n{commands}"
    )


def read_answers(
    folder: Path, questions: Sequence[Question], candidates: Mapping[str, Sequence[Candidate]]
) -> list[Answer]:
    """Return what people said, as far as it is about these questions.

    Raises
    ------
    InputError
        If a row is no preference, or is not about a pair of this round, or nobody has answered.
    """
    path, asked = answers_file(folder), {one.id: one for one in questions}
    answers = []
    loaded = load_preferences(path)
    for (line, row), judged in zip(read_jsonl(path), loaded, strict=True):
        facts = row.get("facts") or {}
        question = asked.get(str(facts.get("prompt_id")))
        systems = [str(facts.get(f"system_{side}")) for side in "ab"]
        clips = _clips(question, candidates) if question else {}
        if (
            question is None
            or sorted(systems) != list(SIDES)
            or any(facts.get(side) != clip.sha256 for side, clip in clips.items())
        ):
            raise InputError(
                f"{path} line {line}: is not about a pair of this round: export the study of {folder / _PAIRS}"
            )
        swapped = {"a": "b", "b": "a"} if systems[0] == SIDES[1] else {}
        labels = {head: getattr(judged, head) for head in HEADS}
        sure = {head: getattr(judged, f"confidence_{head}") for head in HEADS}
        answers.append(
            Answer(
                question,
                str(facts.get("rater", "")),
                {head: swapped.get(label, label) for head, label in labels.items()},
                {head: value for head, value in sure.items() if value is not None},
            )
        )
    return answers
